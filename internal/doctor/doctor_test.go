package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/home"
	"testudo/internal/localsock"
	"testudo/internal/shortdir"
	"testudo/internal/sqlitedb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "0123456789abcdef0123456789ABCDEF"

// bed is a home to be examined.
type bed struct {
	t   *testing.T
	dir string
}

// newHome makes the home of a master, sound and at rest.
func newHome(t *testing.T, change func(*home.Spec)) *bed {
	t.Helper()
	dir := shortdir.New(t)
	spec := home.Spec{Role: "master", Name: "m", Key: key, Bind: "127.0.0.1", Port: freePort(t), Metrics: "off", EnrolPort: -1}
	if change != nil {
		change(&spec)
	}
	b := &bed{t, filepath.Join(dir, "h")}
	if _, err := home.Init(b.dir, spec, false); err != nil {
		t.Fatal(err)
	}
	return b
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (b *bed) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bed) edit(name, old, with string) {
	b.t.Helper()
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		b.t.Fatalf("%s has no %q", name, old)
	}
	b.write(name, strings.ReplaceAll(string(text), old, with))
}

func (b *bed) write(name, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(name)), 0o750); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), []byte(text), 0o640); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) chmod(name string, mode os.FileMode) {
	b.t.Helper()
	if err := os.Chmod(b.path(name), mode); err != nil {
		b.t.Fatal(err)
	}
}

// serve answers commands as a running node does, until the test ends.
func (b *bed) serve(c localsock.Commands) {
	b.t.Helper()
	server := localsock.NewServer(localsock.Options{
		Path: b.path("queue/cluster/c-internal.sock"), Mode: 0o660, UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler),
	}, c)
	ln, err := server.Listen()
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(ctx, ln) })
	b.t.Cleanup(func() { cancel(); done.Wait() })
}

// listen opens a socket that takes connections and closes them, until the test
// ends.
func (b *bed) listen(network, address string) {
	b.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		b.t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
	b.t.Cleanup(func() { _ = l.Close(); done.Wait() })
}

// wants demands a finding.
func wants(t *testing.T, r Report, check string, s Severity, text, remedy string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check && f.Severity == s && strings.Contains(f.Text, text) && strings.Contains(f.Remedy, remedy) {
			return
		}
	}
	t.Errorf("no finding %s %s %q %q in\n%s", check, s, text, remedy, all(r))
}

func all(r Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s: %s (%s)\n", f.Severity, f.Check, f.Text, f.Remedy)
	}
	return b.String()
}

func TestExamine_HomeAtRest(t *testing.T) {
	b := newHome(t, nil)
	r := Examine(t.Context(), b.dir)
	wants(t, r, "configuration", Fine, "master m of cluster wazuh", "")
	wants(t, r, "key", Fine, "", "")
	wants(t, r, "process", Warning, "No node runs", "testudo node")
	wants(t, r, "ports", Fine, "is free", "")
	wants(t, r, "files", Fine, "", "")
	wants(t, r, "clock", Fine, "", "")
	wants(t, r, "versions", Fine, "presents version 4.7.5", "")
	if r.Worst != Warning || r.Running || r.Node != "m" || r.Role != "master" {
		t.Errorf("%+v", r)
	}
	if strings.Contains(all(r), key) {
		t.Error("the key is told")
	}
	for _, f := range r.Findings {
		if !slices.Contains(Checks(), f.Check) || (f.Severity == Fine) != (f.Remedy == "") {
			t.Errorf("%+v", f)
		}
	}
}

func TestExamine_NoHome(t *testing.T) {
	r := Examine(t.Context(), filepath.Join(t.TempDir(), "none"))
	wants(t, r, "home", Error, "There is no home", "testudo init")
	if r.Worst != Error {
		t.Error(r.Worst)
	}
}

// broken are homes broken on purpose.
var broken = []struct {
	name   string
	spec   func(*home.Spec)
	harm   func(b *bed)
	check  string
	worst  Severity
	text   string
	remedy string
}{
	{"no configuration", nil, func(b *bed) { _ = os.Remove(b.path("etc/ossec.conf")) }, "configuration", Error, "Error 3006", "testudo init"},
	{"configuration cut off", nil, func(b *bed) { b.write("etc/ossec.conf", "<ossec_config><cluster>") }, "configuration", Error, "", "Correct"},
	{"wrong type of node", nil, func(b *bed) { b.edit("etc/ossec.conf", "<node_type>master", "<node_type>boss") }, "configuration", Error, "Error 3004", "Correct"},
	{"cluster disabled", nil, func(b *bed) { b.edit("etc/ossec.conf", "<disabled>no", "<disabled>yes") }, "configuration", Warning, "disabled", "<disabled>"},
	{"strange setting", nil, func(b *bed) { b.write("etc/testudo.yaml", "nonsense: 1\n") }, "configuration", Error, "nonsense", "Correct"},
	{"short key", nil, func(b *bed) { b.edit("etc/ossec.conf", key, "short") }, "key", Error, "5 characters, not 32", "openssl rand -hex 16"},
	{"key of other characters", nil, func(b *bed) { b.edit("etc/ossec.conf", key, strings.Repeat("-", 32)) }, "key", Error, "other than letters and digits", "openssl"},
	{"simple key", nil, func(b *bed) { b.edit("etc/ossec.conf", key, strings.Repeat("ab", 16)) }, "key", Warning, "only 2 different characters", "openssl"},
	{"a process that does not answer", nil, func(b *bed) {
		b.write(fmt.Sprintf("var/run/wazuh-clusterd-%d.pid", os.Getpid()), strconv.Itoa(os.Getpid()))
	}, "process", Error, "nobody answers", "logs/cluster.log"},
	{"no socket where one is to be", nil, func(b *bed) { b.write("queue/cluster/c-internal.sock", "") }, "sockets", Error, "c-internal.sock is no socket", "Move it away"},
	{"agent database served beside the node", nil, func(b *bed) { b.listen("unix", b.path("queue/db/wdb")) }, "sockets", Error, "Another program answers at queue/db/wdb", "services"},
	{"agent database of another program", nil, func(b *bed) { b.write("etc/testudo.yaml", "services:\n  agentdb: external\n") }, "sockets", Error, "nobody answers at queue/db/wdb", "embedded"},
	{"port taken", nil, func(b *bed) { b.listen("tcp", portOf(b)) }, "ports", Error, "taken by another program", "<port>"},
	{"address of another machine", func(s *home.Spec) { s.Bind = "192.0.2.1" }, func(*bed) {}, "ports", Error, "no address of this machine", "0.0.0.0"},
	{"no master", func(s *home.Spec) { s.Role, s.Name, s.Master = "worker", "w1", "127.0.0.1" }, func(*bed) {}, "ports", Error, "master cannot be reached at 127.0.0.1", "<nodes>"},
	{"everybody writes the rules", nil, func(b *bed) { b.chmod("etc/rules", 0o777) }, "files", Error, "directory etc/rules", "chmod o-w"},
	{"a file where a directory is", nil, func(b *bed) {
		_ = os.RemoveAll(b.path("queue/rids"))
		b.write("queue/rids", "")
	}, "files", Error, "queue/rids is no directory", "Move it away"},
	{"everybody reads the key", nil, func(b *bed) { b.chmod("etc/ossec.conf", 0o644) }, "files", Warning, "the cluster's key", "chmod o-r"},
	{"everybody writes the keys", nil, func(b *bed) { b.chmod("etc/client.keys", 0o642) }, "files", Error, "write the file etc/client.keys", "chmod o-w"},
	{"a directory where a file is", nil, func(b *bed) {
		_ = os.Remove(b.path("etc/client.keys"))
		_ = os.Mkdir(b.path("etc/client.keys"), 0o750)
	}, "files", Error, "etc/client.keys is no regular file", "put the file back"},
	{"database that is none", nil, func(b *bed) { b.write("queue/db/global.db", strings.Repeat("no database ", 1000)) }, "databases", Error, "global.db", "testudo db restore"},
	{"database damaged", nil, func(b *bed) { b.damage("queue/db/cluster.db") }, "databases", Error, "cluster.db", "made and filled again"},
	{"another version is installed", nil, func(b *bed) { b.write("bin/wazuh-control", "#!/bin/sh\nVERSION=\"v4.7.4\"\nREVISION=1\n") }, "versions", Warning, "version 4.7.4", "etc/testudo.yaml"},
	{"files of the future", nil, func(b *bed) {
		later := time.Now().Add(48 * time.Hour)
		_ = os.Chtimes(b.path("etc/ossec.conf"), later, later)
	}, "clock", Warning, "in the future", "touch"},
	{"too many connections", nil, func(b *bed) { b.write("etc/testudo.yaml", "limits:\n  connections: 1000000\n") }, "limits", Warning, "files open", "LimitNOFILE"},
}

func portOf(b *bed) string {
	text, err := os.ReadFile(b.path("etc/ossec.conf"))
	if err != nil {
		b.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<port>")
	port, _, _ := strings.Cut(rest, "</port>")
	return "127.0.0.1:" + port
}

// damage makes a database and turns over what is in its middle.
func (b *bed) damage(name string) {
	b.t.Helper()
	db, err := sqlitedb.Open(b.t.Context(), sqlitedb.Options{Path: b.path(name), Setup: func(*sqlitedb.Conn) error { return nil }})
	if err != nil {
		b.t.Fatal(err)
	}
	err = db.Write(b.t.Context(), func(c *sqlitedb.Conn) error {
		if err := sqlitedb.Exec(c, "CREATE TABLE t (x)"); err != nil {
			return err
		}
		return sqlitedb.Exec(c, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO t SELECT hex(randomblob(20)) FROM n")
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.t.Fatal(err)
	}
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := len(text) / 2; i < len(text)/2+9000; i++ {
		text[i] ^= 0xff
	}
	b.write(name, string(text))
}

// With a configuration that has errors, nothing is said of what it would say.
func TestExamine_NothingIsGuessed(t *testing.T) {
	for _, harm := range []func(b *bed){
		func(b *bed) { _ = os.Remove(b.path("etc/ossec.conf")) },
		func(b *bed) { b.edit("etc/ossec.conf", "<node_type>master", "<node_type>boss") },
	} {
		b := newHome(t, nil)
		b.listen("tcp", portOf(b)) // which a master would find taken
		harm(b)
		r := Examine(t.Context(), b.dir)
		wants(t, r, "configuration", Warning, "Not looked at, because what they should be is not known: sockets, ports, enrolment, limits, versions.", "again")
		for _, f := range r.Findings {
			if f.Check == "ports" || f.Severity == Error && f.Check != "configuration" || strings.Contains(f.Text, "disabled") {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestExamine_BrokenHomes(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			b := newHome(t, c.spec)
			c.harm(b)
			r := Examine(t.Context(), b.dir)
			wants(t, r, c.check, c.worst, c.text, c.remedy)
			if r.Worst.rank() < c.worst.rank() {
				t.Errorf("worst is %s", r.Worst)
			}
			if strings.Contains(all(r), key) {
				t.Error("the key is told")
			}
		})
	}
}

// A file that this user may not read is found by whoever may not.
func TestExamine_UnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	b := newHome(t, nil)
	b.chmod("etc/client.keys", 0)
	b.chmod("etc/rules", 0o550)
	t.Cleanup(func() { b.chmod("etc/rules", 0o770) })
	r := Examine(t.Context(), b.dir)
	wants(t, r, "files", Error, "etc/client.keys cannot be read", "chown")
	wants(t, r, "files", Error, "etc/rules cannot be written", "chown")
}

// Root looks with the eyes of the account that will run the node.
func TestExamine_DirectoryOfRoot(t *testing.T) {
	if _, _, exists := home.Identity(); !exists || os.Geteuid() != 0 {
		t.Skip("needs root, and the account " + home.Account)
	}
	b := newHome(t, nil)
	if err := os.Chown(b.path("queue/db"), 0, 0); err != nil {
		t.Fatal(err)
	}
	wants(t, Examine(t.Context(), b.dir), "files", Error, "queue/db does not belong to the account", "chown")
}

// A dead socket of root's keeps the account's node from starting; one of the
// account's does not.
func TestExamine_SocketOfRoot(t *testing.T) {
	uid, gid, exists := home.Identity()
	if !exists || os.Geteuid() != 0 {
		t.Skip("needs root, and the account " + home.Account)
	}
	b := newHome(t, nil)
	names := []string{"queue/cluster/c-internal.sock", "queue/db/wdb"}
	for _, name := range names {
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.path(name)})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		dead.Close()
		b.chmod(name, 0o660)
	}
	r := Examine(t.Context(), b.dir)
	for _, name := range names {
		wants(t, r, "sockets", Error, "The socket "+name+" was left behind by another account", "rm "+b.path(name))
		if err := os.Chown(b.path(name), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if r := Examine(t.Context(), b.dir); r.Worst != Warning { // no node runs
		t.Errorf("%s", all(r))
	}
}

// Who may not look into the home is told that, and not that all of it is broken.
func TestExamine_Stranger(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root looks everywhere")
	}
	b := newHome(t, nil)
	b.chmod("etc", 0)
	t.Cleanup(func() { b.chmod("etc", 0o770) })
	r := Examine(t.Context(), b.dir)
	wants(t, r, "home", Error, "This user may not look into", "as root")
	if len(r.Findings) != 1 {
		t.Errorf("%s", all(r))
	}
}

func TestExamine_ContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Examine(ctx, newHome(t, nil).dir); len(r.Findings) > 0 {
		t.Errorf("%s", all(r))
	}
}
