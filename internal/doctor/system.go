package doctor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"testudo/internal/buildinfo"
	"testudo/internal/config"
	"testudo/internal/home"
)

// pid is the process that has a pid file in the home and runs, 0 for none.
func (x *exam) pid() int {
	files, err := filepath.Glob(filepath.Join(x.Home, home.RunDir, home.Daemon+"-*.pid"))
	if err != nil {
		return 0
	}
	for _, name := range files {
		number := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), home.Daemon+"-"), ".pid")
		if pid, err := strconv.Atoi(number); err == nil && runs(pid) {
			return pid
		}
	}
	return 0
}

// spareFiles is how many open files a node needs beside its connections: its
// databases, its log, files that are hashed and sent.
const spareFiles = 512

// limits looks at the number of files that the node may have open.
func (x *exam) limits(context.Context) {
	set := &x.cfg.Testudo
	need := set.Local.Connections + spareFiles
	if x.cfg.AgentDBEmbedded() {
		need += set.AgentDB.Connections
	}
	if !x.worker() {
		need += set.Limits.Connections
	}
	if x.cfg.EnrolmentEmbedded() && x.cfg.Auth.RemoteEnrollment {
		need += set.Enrolment.Connections
	}
	have, of := x.openFiles()
	switch {
	case have == 0:
		return // not told by this system
	case have < uint64(need):
		x.warn(fmt.Sprintf("Raise it to %d: LimitNOFILE= in the unit, or 'ulimit -n' where the node is started.", need),
			"%s may have %d files open, but the connections that the settings allow need up to %d.", of, have, need)
	default:
		x.fine("%s may have %d files open; up to %d are needed.", of, have, need)
	}
}

// openFiles is the limit of the node's process, else of ours, which a node
// started from here would have.
func (x *exam) openFiles() (limit uint64, of string) {
	if pid := x.pid(); pid > 0 {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid)); err == nil {
			if limit := parseLimits(text); limit > 0 {
				return limit, "The node"
			}
		}
	}
	return ownOpenFiles(), "A node started from here"
}

// parseLimits reads the soft limit of open files out of /proc/PID/limits.
func parseLimits(text []byte) uint64 {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), "Max open files")
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			if fields[0] == "unlimited" {
				return 1 << 62
			}
			if n, err := strconv.ParseUint(fields[0], 10, 64); err == nil {
				return n
			}
		}
	}
	return 0
}

// installedVersion is how the installation's control script says which version
// it is.
var installedVersion = regexp.MustCompile(`(?m)^VERSION="?v?([0-9]+(?:\.[0-9]+){1,3})"?\s*$`)

// versions compares what this node presents with what is around it.
func (x *exam) versions(ctx context.Context) {
	presented := x.cfg.Testudo.Version
	n := len(x.Findings)
	if text, err := os.ReadFile(filepath.Join(x.Home, "bin/wazuh-control")); err == nil {
		if found := installedVersion.FindSubmatch(text); found != nil && string(found[1]) != presented {
			x.warn("Set version in "+config.SettingsPath+" to the version of the cluster.", "The installation is of version %s, but the node presents %s to other nodes.", found[1], presented)
		}
	}
	if x.answers() {
		nodes, err := x.client.Nodes(ctx, nil)
		if err == nil {
			for _, node := range nodes {
				if node.Version != presented {
					x.warn("Bring all nodes to the same version.", "The node %s has version %s, this one presents %s.", node.Name, node.Version, presented)
				}
			}
		}
	}
	if len(x.Findings) == n {
		x.fine("Testudo %s presents version %s.", buildinfo.Version(), presented)
	}
}
