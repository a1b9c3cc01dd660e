package home

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/config"
)

// helper runs this test binary as another process that does what is asked until
// its standard input ends. It returns once the process has printed its line.
func helper(t *testing.T, what string, arguments ...string) (cmd *exec.Cmd, line string, end func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0], append([]string{"-test.run=^TestHelper$", "--"}, arguments...)...)
	cmd.Env = append(os.Environ(), "HOME_TEST_HELPER="+what)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ = bufio.NewReader(out).ReadString('\n')
	end = func() {
		in.Close()
		cmd.Wait() // a killed one says so, which is meant
	}
	t.Cleanup(end)
	return cmd, line, end
}

// TestHelper is the other process of helper.
func TestHelper(t *testing.T) {
	switch os.Getenv("HOME_TEST_HELPER") {
	case "":
		t.Skip("only runs as another process of these tests")
	case "lock":
		if _, err := Lock(os.Args[len(os.Args)-1]); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
	}
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"whole/bin", "whole/etc", "bare/bin", "whole/sbin"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "whole", config.ConfPath), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	whole, bare := filepath.Join(dir, "whole"), filepath.Join(dir, "bare")
	tests := []struct {
		name, flag, variable string
		executables          []string
		want, why            string
	}{
		{"flag first", "/a", "/b", []string{whole + "/bin/testudo"}, "/a", "--home"},
		{"then the variable", "", "/b", []string{whole + "/bin/testudo"}, "/b", "$TESTUDO_HOME"},
		{"then the executable", "", "", []string{whole + "/bin/testudo"}, whole, "above the executable " + whole + "/bin/testudo"},
		{"a link in the home counts before its target", "", "", []string{whole + "/bin/wazuh-clusterd", "/usr/local/bin/testudo"}, whole, "above the executable " + whole + "/bin/wazuh-clusterd"},
		{"the target counts as well", "", "", []string{"/usr/local/bin/x", whole + "/bin/testudo"}, whole, "above the executable " + whole + "/bin/testudo"},
		{"not without ossec.conf", "", "", []string{bare + "/bin/testudo"}, "/var/ossec", "where installations are"},
		{"not outside bin", "", "", []string{whole + "/sbin/testudo"}, "/var/ossec", "where installations are"},
		{"nothing known", "", "", nil, "/var/ossec", "where installations are"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, why := locate(test.flag, test.variable, test.executables)
			if got != test.want || why != test.why {
				t.Errorf("got %s (%s), want %s (%s)", got, why, test.want, test.why)
			}
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(dir)
		if got, _ := Locate("whole"); got != whole {
			t.Errorf("got %s, want %s", got, whole)
		}
	})
}

func TestLock_OneHolder(t *testing.T) {
	dir := t.TempDir()
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	var inUse *InUseError
	if !errors.As(err, &inUse) || !errors.Is(err, ErrInUse) || inUse.PID != os.Getpid() {
		t.Errorf("second holder: %v", err)
	}
	if _, line, _ := helper(t, "lock", dir); line == "ready\n" {
		t.Error("another process got the lock too")
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLock_SaysAsWhatTheNodeWasStarted(t *testing.T) {
	dir := t.TempDir()
	if as := StartedAs(dir); as != "" {
		t.Errorf("before any start: %q", as)
	}
	for _, program := range []string{Daemon, ""} {
		hold, err := LockAs(dir, program)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Lock(dir)
		var inUse *InUseError
		if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.As != program || StartedAs(dir) != program {
			t.Errorf("started as %q: %v, %q", program, err, StartedAs(dir))
		}
		if err := hold.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadConfig_AsItWasStarted(t *testing.T) {
	for as, want := range map[string]string{"": config.Embedded, Daemon: config.External} {
		if cfg, _ := ReadConfig(t.TempDir(), as); cfg.Testudo.Services.Enrolment != want || cfg.Testudo.Services.AgentDB != want {
			t.Errorf("%q: %+v", as, cfg.Testudo.Services)
		}
	}
}

func TestLock_EndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	other, line, end := helper(t, "lock", dir)
	if line != "ready\n" {
		t.Fatalf("other process: %s", line)
	}
	_, err := Lock(dir)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != other.Process.Pid {
		t.Errorf("while it lives: got %v, want process %d", err, other.Process.Pid)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	end()
	hold, err := Lock(dir)
	if err != nil {
		t.Fatalf("after its death: %v", err)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestCleanQueue(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	queue := filepath.Join(dir, QueueDir)
	if err := CleanQueue(dir); err != nil {
		t.Fatalf("without the directory: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(queue, "w1/deep/deeper"), 0o770); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(queue, Socket)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, name := range []string{"left.zip", "w1/deep/deeper/file"} {
		if err := os.WriteFile(filepath.Join(queue, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(queue, "link")); err != nil {
		t.Fatal(err)
	}
	if err := CleanQueue(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(queue)
	if err != nil || len(entries) != 1 || entries[0].Name() != Socket {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("behind a link: %v", err)
	}
}

// What only has the name of the socket is in its way.
func TestCleanQueue_NoSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, QueueDir, Socket)
	if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CleanQueue(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

func TestPrepare_OnlyWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Init(dir, masterSpec(), false); err != nil {
		t.Fatal(err)
	}
	if created, err := Prepare(dir); err != nil || created != nil {
		t.Errorf("of a whole home: %v, %v", created, err)
	}
	for _, gone := range []string{"queue", "var/multigroups"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	created, err := Prepare(dir)
	want := []string{"queue", "queue/cluster", "queue/db", "queue/diff", "queue/rids", "queue/sockets", "var/multigroups"}
	if diff := cmp.Diff(want, created); diff != "" || err != nil {
		t.Errorf("created (-want +got), %v:\n%s", err, diff)
	}
	if _, err := Prepare(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("prepared a home that is not there")
	}
}

func TestPrepare_FileInTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "etc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(dir); err == nil {
		t.Error("no error where a file takes a directory's place")
	}
}

func runNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, RunDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPID_WrittenAndRemoved(t *testing.T) {
	dir := t.TempDir()
	if _, err := Init(dir, masterSpec(), false); err != nil {
		t.Fatal(err)
	}
	if err := WritePID(dir, 4711); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, RunDir, "wazuh-clusterd-4711.pid")
	text, err := os.ReadFile(name)
	if err != nil || string(text) != "4711\n" {
		t.Errorf("content %q, %v", text, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := RemovePID(dir, 4711); err != nil {
			t.Error(err)
		}
	}
	if names := runNames(t, dir); names != nil {
		t.Errorf("left: %v", names)
	}
}

func TestClearPIDs_Old(t *testing.T) {
	dir := t.TempDir()
	if removed, err := ClearPIDs(dir); removed != nil || err != nil {
		t.Errorf("without the directory: %v, %v", removed, err)
	}
	if _, err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	// One number is ours, as happens in a container, and one belongs to a
	// process that has nothing to do with this.
	ours, strangers := os.Getpid(), os.Getppid()
	files := []string{
		fmt.Sprintf("wazuh-clusterd-%d.pid", ours), fmt.Sprintf("wazuh-clusterd_child_1-%d.pid", strangers),
		"wazuh-clusterd-4194399.pid", "wazuh-apid-1.pid", "wazuh-clusterd-x.pid", "wazuh-clusterd.failed",
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, RunDir, name), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := ClearPIDs(dir)
	slices.Sort(removed)
	want := []int{ours, strangers, 4194399}
	slices.Sort(want)
	if diff := cmp.Diff(want, removed); diff != "" || err != nil {
		t.Errorf("removed (-want +got), %v:\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"wazuh-apid-1.pid", "wazuh-clusterd-x.pid", "wazuh-clusterd.failed"}, runNames(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestClearPIDs_OriginalRuns(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc here")
	}
	dir := t.TempDir()
	if _, err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	other, _, _ := helper(t, "wait", filepath.Join(dir, "framework/scripts", originalScript))
	name := fmt.Sprintf("wazuh-clusterd-%d.pid", other.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, RunDir, name), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := ClearPIDs(dir)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != other.Process.Pid {
		t.Errorf("got %v, want process %d", err, other.Process.Pid)
	}
	if diff := cmp.Diff([]string{name}, runNames(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestIsOriginal(t *testing.T) {
	for line, want := range map[string]bool{
		"/var/ossec/framework/python/bin/python3\x00/var/ossec/framework/scripts/wazuh_clusterd.py\x00": true,
		"python3\x00/var/ossec2/framework/scripts/wazuh_clusterd.py\x00":                                false,
		"python3\x00/var/ossec/framework/scripts/wazuh_apid.py\x00":                                     false,
		"vi\x00wazuh_clusterd.py\x00":                                                                   false,
		"":                                                                                              false,
	} {
		if got := isOriginal(line, "/var/ossec"); got != want {
			t.Errorf("%q: got %v, want %v", line, got, want)
		}
	}
}

func TestIdentity_OwnerOnlyForRoot(t *testing.T) {
	if uid, gid := (owner{7, 8, false}).ids(true); uid != -1 || gid != -1 {
		t.Errorf("inactive: %d, %d", uid, gid)
	}
	if uid, gid := (owner{7, 8, true}).ids(true); uid != 7 || gid != 8 {
		t.Errorf("the account's: %d, %d", uid, gid)
	}
	if uid, gid := (owner{7, 8, true}).ids(false); uid != 0 || gid != 8 {
		t.Errorf("root's: %d, %d", uid, gid)
	}
	if _, _, ok := Identity(); currentOwner().active != (ok && os.Geteuid() == 0) {
		t.Error("owner is active without root or without the account")
	}
}

func TestCleanQueue_TemporaryFilesOfOwnWritings(t *testing.T) {
	dir := t.TempDir()
	gone := []string{"queue/db/.testudo-accepted.json.2FMNMCWGOVZ6.tmp~", "var/run/.wazuh-clusterd-31889.pid.G4HXJJ5OIIRX.tmp~"}
	stay := []string{"queue/db/cluster.db", "queue/db/.hidden.tmp~", "var/run/other.pid", "etc/.ossec.conf.2FMNMCWGOVZ6.tmp~"}
	for _, name := range append(gone, stay...) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o770); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CleanQueue(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range stay {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
