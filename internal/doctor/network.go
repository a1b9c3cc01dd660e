package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"testudo/internal/config"
	"testudo/internal/home"
)

// answerTime is how long anything that is dialled may take.
const answerTime = 5 * time.Second

// sockets looks at the sockets of local programs.
func (x *exam) sockets(ctx context.Context) {
	external := !x.cfg.AgentDBEmbedded()
	const database = "queue/db/wdb"
	err := x.dial(ctx, "unix", filepath.Join(x.Home, database))
	switch {
	case x.stuck: // its system takes connections for it
		return
	case err == nil && (external || x.Running):
		x.fine("The agent database answers at %s.", database)
	case external:
		x.fail("Start the daemon that serves it, or set services.agentdb to embedded in etc/testudo.yaml.",
			"The agent database is another program's (services.agentdb: external), and nobody answers at %s: %s.", database, dialled(err))
	case x.Running:
		x.fail("See logs/cluster.log; start the node again.", "The node runs, but its agent database does not answer at %s: %s.", database, dialled(err))
	}
	if x.Running {
		x.fine("The node answers at %s/%s.", home.QueueDir, home.Socket)
		return
	}
	x.ownSocket(ctx, home.QueueDir+"/"+home.Socket)
	if !external {
		x.ownSocket(ctx, database)
	}
	if x.cfg.EnrolmentEmbedded() {
		x.ownSocket(ctx, authSocket)
	}
}

// ownSocket looks whether a node could take the place of a socket that it is to
// serve, where none runs.
func (x *exam) ownSocket(ctx context.Context, name string) {
	path := filepath.Join(x.Home, name)
	info, err := os.Lstat(path)
	if err != nil {
		return // none, or told by files
	}
	err = x.dial(ctx, "unix", path)
	switch {
	case info.Mode().Type() != fs.ModeSocket:
		x.fail("Move it away.", "%s is no socket, and the node does not start while it is there.", name)
	case err == nil && x.pid() == 0: // that of a node is told by process
		x.fail("End that program, or leave the service to it: see services in "+config.SettingsPath+".",
			"Another program answers at %s, and the node does not start while it does.", name)
	case errors.Is(err, fs.ErrPermission), err != nil && !x.accountMayWrite(info):
		x.fail(fmt.Sprintf("End the program that serves it, if one does, then remove the file as root: rm %s.", path),
			"The socket %s was left behind by another account, and the node, which may not use it, does not start while it is there.", name)
	}
}

// accountMayWrite says whether the account of the node may write a file, as far
// as we are root and there is such an account; else true.
func (x *exam) accountMayWrite(info fs.FileInfo) bool {
	uid, gid, exists := home.Identity()
	owner, group, known := ownerOf(info)
	if os.Geteuid() != 0 || !exists || !known {
		return true
	}
	return writableBy(info.Mode(), owner == uid, group == gid)
}

// writableBy says whether a mode lets an account write.
func writableBy(mode fs.FileMode, owner, group bool) bool {
	return owner && mode&0o200 != 0 || group && mode&0o020 != 0 || mode&0o002 != 0
}

// dialled is the short form of a failed try to connect.
func dialled(err error) string {
	var system syscall.Errno
	var name *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &name):
		return "the name " + name.Name + " is not known"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in " + answerTime.String()
	case errors.As(err, &system):
		return system.Error()
	}
	return err.Error()
}

func (x *exam) dial(ctx context.Context, network, address string) error {
	d := net.Dialer{Timeout: answerTime}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// ports looks at what the node listens on and whom it calls.
func (x *exam) ports(ctx context.Context) {
	cluster := &x.cfg.Cluster
	port := strconv.Itoa(cluster.Port)
	if x.worker() {
		x.master(ctx, net.JoinHostPort(cluster.MasterAddress(), port))
	} else if !cluster.Disabled {
		x.port(ctx, "cluster", net.JoinHostPort(cluster.BindAddr, port), Error,
			"End the other program, or set another <port> on all nodes of the cluster.")
	}
	if address := x.cfg.Testudo.Metrics.Address; address != "" {
		x.port(ctx, "metrics", address, Warning, "End the other program, or set another metrics.address in etc/testudo.yaml.")
	}
}

// master tries to reach the master of a worker.
func (x *exam) master(ctx context.Context, address string) {
	if err := x.dial(ctx, "tcp", address); err != nil {
		x.fail("See whether the master runs, whether <nodes> and <port> name it, and what is between the two nodes.",
			"The master cannot be reached at %s: %s.", address, dialled(err))
		return
	}
	x.fine("The master's port answers at %s.", address)
}

// port looks whether a port is ours, or free where no node runs.
func (x *exam) port(ctx context.Context, what, address string, severity Severity, remedy string) {
	if x.stuck {
		return // its system takes connections for it
	}
	if x.Running {
		if err := x.dial(ctx, "tcp", reachable(address)); err != nil {
			x.add("", severity, fmt.Sprintf("The node runs, but does not answer on its %s port %s: %s.", what, address, dialled(err)),
				"See logs/cluster.log; start the node again.")
			return
		}
		x.fine("The %s port %s answers.", what, address)
		return
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	var system syscall.Errno
	switch {
	case err == nil:
		if err := ln.Close(); err == nil {
			x.fine("The %s port %s is free.", what, address)
		}
	case errors.As(err, &system) && errors.Is(system, syscall.EADDRINUSE):
		x.add("", severity, fmt.Sprintf("The %s port %s is taken by another program.", what, address), remedy)
	case errors.As(err, &system) && errors.Is(system, syscall.EADDRNOTAVAIL):
		x.add("", severity, fmt.Sprintf("The %s port cannot be opened: %s is no address of this machine.", what, address),
			"Set an address of this machine, or 0.0.0.0 for all.")
	default:
		x.add("", severity, fmt.Sprintf("The %s port %s cannot be opened: %s.", what, address, dialled(err)), remedy)
	}
}

// reachable is an address to dial for one to listen on.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

const (
	// skewWarning is how much two clocks may differ before dates of two nodes
	// cannot be compared; skewError when agents seem to be silent, or fresh.
	skewWarning = 5 * time.Second
	skewError   = 5 * time.Minute
)

// clock compares this machine's clock with the master's, and with the files.
func (x *exam) clock(ctx context.Context) {
	n := len(x.Findings)
	now := time.Now()
	if newest, path := x.newest(); newest.After(now.Add(time.Hour)) {
		x.warn("See whether the clock is right now; if so, 'touch' the file.",
			"%s was changed at %s, which is in the future: the clock has been set back, or was wrong.", path, newest.UTC().Format(time.DateTime+" MST"))
	}
	if x.answers() && x.worker() {
		asked := time.Now()
		reports, err := x.client.Why(ctx, x.Node)
		answered := time.Now()
		for _, r := range reports {
			if err == nil && r.ToldBy != x.Node && !r.At.IsZero() {
				x.skew(r.ToldBy, skew(r.At, asked, answered))
			}
		}
	}
	if len(x.Findings) == n {
		x.fine("Nothing is wrong with the clock, as far as can be seen here: %s.", now.UTC().Format(time.DateTime+" MST"))
	}
}

// skew is how far another clock is ahead of ours, when it showed a time between
// two of ours: what may be the way of the answer does not count.
func skew(other, asked, answered time.Time) time.Duration {
	switch {
	case other.After(answered):
		return other.Sub(answered)
	case other.Before(asked):
		return other.Sub(asked)
	}
	return 0
}

func (x *exam) skew(master string, d time.Duration) {
	const remedy = "Let the clocks of all nodes follow the same source (NTP)."
	switch ahead := d.Abs(); {
	case ahead >= skewError:
		x.fail(remedy, "The clock of the master %s differs from this one by %s: agents will seem to be silent or fresh when they are not.", master, ahead.Round(time.Second))
	case ahead >= skewWarning:
		x.warn(remedy, "The clock of the master %s differs from this one by %s.", master, ahead.Round(time.Millisecond))
	default:
		x.fine("The clock agrees with that of the master %s.", master)
	}
}

// agentDatabase is where the agents are, relative to the home.
const agentDatabase = "queue/db/global.db"

// watched are files that a running home changes.
var watched = []string{config.ConfPath, home.KeysPath, agentDatabase, "queue/db/cluster.db", "logs/cluster.log"}
