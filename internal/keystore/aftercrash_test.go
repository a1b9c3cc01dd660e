package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/agent"
)

// adds has a store that is not run add something.
func (s *Store) adds(t *testing.T, a Addition) error {
	t.Helper()
	o := &op{add: &a, done: make(chan struct{})}
	s.commit(t.Context(), []*op{o})
	return o.err
}

// dies ends a store as kill does.
func (s *Store) dies() {
	s.presence.f.Close()
	s.file.forget()
}

// Somebody edits the file while it is in use, and leaves the last line without its
// end. The line is theirs: when we are killed later, it is not what was being
// written.
func TestOpen_LastLineOfAnEditBeforeTheCrash(t *testing.T) {
	root, dir := home(t)
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.adds(t, newcomer("a", "any")); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, keysPath), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("007 by-hand any bb"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s.refresh(t.Context()) // finds it
	s.refresh(t.Context()) // nobody writes any more
	s.dies()
	s, _ = start(t, root, Options{})
	if _, ok := s.ByID("007"); !ok {
		t.Error("the agent has lost its key")
	}
}

// The same with a line that was there before us, and a first addition for which
// there is no room.
func TestOpen_LastLineOfAnEditBeforeAFailedAddition(t *testing.T) {
	root, dir := home(t)
	disk(t, dir, 64)
	write(t, dir, keysPath, "# "+strings.Repeat("x", 3000)+"\n007 by-hand any bb")
	if err := os.WriteFile(filepath.Join(dir, "etc/ballast"), make([]byte, 64<<10), 0o640); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := newcomer("a", "any")
	a.Secret = agent.NewSecret(strings.Repeat("s", 2000))
	if err := s.adds(t, a); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	s.dies()
	s, _ = start(t, root, Options{})
	if _, ok := s.ByID("007"); !ok {
		t.Error("the agent has lost its key")
	}
}

// We are killed, and then somebody takes the latest agents out of the file.
func TestAdd_NoIDTwiceAfterACrashAndAnEdit(t *testing.T) {
	root, dir := home(t)
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := s.adds(t, newcomer(name, "any")); err != nil {
			t.Fatal(err)
		}
	}
	s.refresh(t.Context())
	s.dies()
	write(t, dir, keysPath, "001 a any key-of-a\n")
	s, _ = start(t, root, Options{})
	if e := mustAdd(t, s, newcomer("d", "any")); e.ID != "004" {
		t.Errorf("id %s is given twice", e.ID)
	}
}

// Somebody who does not look after a crash changes the keys: whoever comes next
// hears of it, once, and of the time of the crash.
func TestUnclean_AfterAChangeBetween(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *os.Root){
		"a brief store": func(t *testing.T, root *os.Root) {
			for _, agent := range []string{"b", "c"} {
				s, stop := start(t, root, Options{Brief: true})
				mustAdd(t, s, newcomer(agent, "any"))
				stop()
			}
		},
		"a guard": func(t *testing.T, root *os.Root) {
			g, err := Lock(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Release()
			if err := root.WriteFile(keysPath, []byte("001 a any aa\n005 e any ee\n"), newMode); err != nil {
				t.Fatal(err)
			}
		},
	} {
		root, dir := home(t)
		write(t, dir, keysPath, "001 a any aa\n")
		crashed := time.Now().Add(-time.Hour).Truncate(time.Second)
		if err := os.Chtimes(filepath.Join(dir, keysPath), crashed, crashed); err != nil {
			t.Fatal(err)
		}
		died(t, dir, 1)
		change(t, root)
		for _, want := range []bool{true, false} {
			s, stop := start(t, root, Options{})
			modified, unclean := s.Unclean()
			if unclean != want || want && !modified.Equal(crashed) {
				t.Errorf("%s: unclean is %v, written last %v, want %v, %v", name, unclean, modified, want, crashed)
			}
			stop()
		}
	}
}
