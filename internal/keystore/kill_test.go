package keystore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"testudo/internal/agent"
)

// homeVariable has the test program be a master that is to be killed.
const homeVariable = "TESTUDO_KEYSTORE_KILLED"

// adds is a process that adds and removes until it is killed, and tells what it
// was answered.
func adds(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	s, err := Open(root, Options{})
	if err != nil {
		return err
	}
	go func() { _ = s.Run(context.Background()) }()
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				e, err := s.Add(context.Background(), newcomer(fmt.Sprintf("agent-%d-%d-%d", os.Getpid(), worker, n), "any"))
				if err != nil {
					panic(err)
				}
				fmt.Print("added ", text(e))
				if n%8 != 7 {
					continue
				}
				// It may be gone though nobody is told any more.
				fmt.Printf("removing %s\n", e.ID)
				if _, err := s.Remove(context.Background(), e.ID, true); err != nil {
					panic(err)
				}
				fmt.Printf("removed %s\n", e.ID)
			}
		})
	}
	wg.Wait()
	return nil
}

// What was answered outlives the process, and no id comes twice, however often and
// whenever it is killed.
func TestStore_Killed(t *testing.T) {
	if dir := os.Getenv(homeVariable); dir != "" {
		if err := adds(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	root, dir := home(t)
	added, leaving, gone := map[string]string{}, map[string]bool{}, map[string]bool{}
	for round := range 8 {
		killed(t, dir, 60+round*17, func(words []string, said string) {
			switch id := words[1]; words[0] {
			case "added":
				if _, twice := added[id]; twice {
					t.Errorf("id %s is given twice", id)
				}
				added[id] = strings.TrimPrefix(said, "added ")
			case "removing":
				leaving[id] = true
			case "removed":
				gone[id] = true
			}
		})
	}
	s, stop := start(t, root, Options{})
	if _, unclean := s.Unclean(); !unclean {
		t.Error("nobody tells that it was killed")
	}
	for id, want := range added {
		e, there := s.ByID(id)
		if gone[id] && there || !there && !leaving[id] || there && text(e) != want+"\n" {
			t.Errorf("%s: %v, there %v, removed %v", id, e, there, gone[id])
		}
	}
	if e := mustAdd(t, s, newcomer("after", "any")); added[e.ID] != "" {
		t.Errorf("id %s is given twice", e.ID)
	}
	stop()
	if left, _ := filepath.Glob(filepath.Join(dir, "etc/.*")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	f, err := os.Open(filepath.Join(dir, keysPath))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if bad, err := agent.ReadKeys(f, agent.KeyLimits{}, func(agent.Key) {}); err != nil || len(bad) > 0 {
		t.Error(bad, err)
	}
}

// killed runs the process, hands on what it says, and kills it after so many
// lines.
func killed(t *testing.T, dir string, after int, said func(words []string, line string)) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStore_Killed$")
	c.Env = append(os.Environ(), homeVariable+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == after {
			_ = c.Process.Kill()
		}
		if words := strings.Fields(lines.Text()); len(words) >= 2 {
			said(words, lines.Text())
		}
	}
	if err := c.Wait(); err == nil {
		t.Error("it ended by itself")
	}
}
