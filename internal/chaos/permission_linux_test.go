package chaos

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/fleet"
	"testudo/internal/home"
)

// asAccount gives a program that runs nodes as the account that owns homes.
func asAccount(t *testing.T) string {
	t.Helper()
	setpriv, err := exec.LookPath("setpriv")
	if _, _, ok := home.Identity(); err != nil || !ok || os.Geteuid() != 0 {
		t.Skip("no other user to run as: needs root, setpriv and the user " + home.Account)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // above the homes, too
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "testudo")
	if err := copyProgram(binary); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "as-account")
	text := fmt.Sprintf("#!/bin/sh\nexec %s --reuid=%s --regid=%s --clear-groups %s \"$@\"\n", setpriv, home.Account, home.Account, binary)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

func copyProgram(to string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Close()
}

// Files and directories that the node's user may not read or write: nothing is
// lost at the workers, the reason is known, and it heals.
func TestPermission_DeniedOnEitherEnd(t *testing.T) {
	uid, gid, _ := home.Identity()
	f := started(t, fleet.Options{Workers: 1, Program: asAccount(t), Prepare: func(n *fleet.Node) error {
		return os.Chown(filepath.Join(n.Home, "etc/cluster.json"), uid, gid)
	}})
	boss, worker := f.Master(), f.Workers()[0]
	for _, path := range []string{"etc/rules/a.xml", "etc/shared/group/agent.conf"} {
		put(t, boss, path, "readable")
		chmod(t, boss, path, 0o644)
	}
	chmod(t, boss, "etc/shared/group", 0o755)
	waitEqual(t, f, 15*time.Second)

	chmod(t, boss, "etc/rules/a.xml", 0)
	chmod(t, boss, "etc/shared/group", 0)
	failed(t, boss, boss.Name, "etc/rules/a.xml", "permission denied")
	failed(t, boss, boss.Name, "etc/shared/group", "permission denied")
	put(t, boss, "etc/lists/after", "")
	chmod(t, boss, "etc/lists/after", 0o644)
	eventually(t, 15*time.Second, func() string {
		if _, err := os.Stat(filepath.Join(worker.Home, "etc/lists/after")); err != nil {
			return err.Error()
		}
		return ""
	})
	for _, path := range []string{"etc/rules/a.xml", "etc/shared/group/agent.conf"} {
		if content, err := os.ReadFile(filepath.Join(worker.Home, path)); string(content) != "readable" {
			t.Errorf("the worker's %s holds %q, %v", path, content, err)
		}
	}
	chmod(t, boss, "etc/rules/a.xml", 0o644)
	chmod(t, boss, "etc/shared/group", 0o755)

	// Now the worker may not write where the file belongs.
	rules := filepath.Join(worker.Home, "etc/rules")
	if err := os.Chown(rules, 0, 0); err != nil {
		t.Fatal(err)
	}
	chmod(t, worker, "etc/rules", 0o755)
	put(t, boss, "etc/rules/a.xml", "changed")
	chmod(t, boss, "etc/rules/a.xml", 0o644)
	failed(t, boss, worker.Name, "etc/rules/a.xml", "permission denied")
	failed(t, worker, worker.Name, "etc/rules/a.xml", "permission denied")
	if err := os.Chown(rules, uid, gid); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, f, 15*time.Second)
	verify(t, f)
}

func chmod(t *testing.T, n *fleet.Node, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(n.Home, path), mode); err != nil {
		t.Fatal(err)
	}
}

// failed waits until a node says that a file has failed at a node, and why.
func failed(t *testing.T, at *fleet.Node, node, file, why string) {
	t.Helper()
	eventually(t, 15*time.Second, func() string {
		if row := failedRow(t, at, node, file); row.State != filestate.Failed || !strings.Contains(row.Reason, why) {
			return fmt.Sprintf("%s says of %s at %s: %q, %s; its log ends:\n%s", at.Name, file, node, row.State, row.Reason, tail(at, 8))
		}
		return ""
	})
}
