package registrar

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"testudo/internal/keystore"
)

// joins is the change of an agent that enrols with groups; without any it goes.
func joins(id string, groups ...string) change {
	c := change{entry: keystore.Entry{ID: id}}
	if len(groups) > 0 {
		c.insert = &NewAgent{Groups: groups}
	}
	return c
}

// journalIn is a journal in a home of its own.
func journalIn(t *testing.T) (*journal, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(unwrittenPath)), 0o750); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &journal{home: root, log: slog.New(slog.DiscardHandler)}, filepath.Join(dir, unwrittenPath)
}

// holds makes sure what the next start would read.
func (j *journal) holds(t *testing.T, want string) {
	t.Helper()
	next := &journal{home: j.home}
	list, err := next.read()
	if got := fmt.Sprint(list); err != nil || got != want {
		t.Errorf("the journal holds %s, want %s; %v", got, want, err)
	}
}

// withFilesOf runs f while no file can be longer than so many bytes.
func withFilesOf(t *testing.T, size int64, f func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(size)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	f()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
}

// A disk takes half a list: what stands before it can be read, and as soon as there
// is room all that waits stands there.
func TestJournal_HalfAList(t *testing.T) {
	j, path := journalIn(t)
	var waiting []change
	add := func(c change) {
		j.add([]change{c}, func() { waiting = append(waiting, c) }, func() []change { return waiting })
	}
	add(joins("001", "web"))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	withFilesOf(t, info.Size()+5, func() { add(joins("002", "web", "default")) })
	if !j.behind {
		t.Error("the failure went unseen")
	}
	j.holds(t, "[{001 [web]}]")
	add(joins("003", "default"))
	j.holds(t, "[{001 [web]} {002 [web default]} {003 [default]}]")
}

// Behind a damaged list nothing can be read: the next one takes its place.
func TestJournal_Damaged(t *testing.T) {
	j, path := journalIn(t)
	if err := os.WriteFile(path, []byte(`[{"id":"001","groups":["web"]}]`+"\n[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := j.read(); err == nil || len(list) != 1 {
		t.Error(list, err)
	}
	changes := []change{joins("001", "web"), joins("002", "web")}
	j.add(changes[1:], func() {}, func() []change { return changes })
	j.holds(t, "[{001 [web]} {002 [web]}]")
}

// The last word on an agent counts also where it is that there are no groups.
func TestJournal_KeepsTheLastWord(t *testing.T) {
	j, path := journalIn(t)
	changes := []change{joins("001", "web"), joins("002", "web"), joins("001"), joins("003"), joins("002", "default")}
	all := func() []change { return changes }
	j.add(changes, func() {}, all)
	j.keep(all, false)
	j.holds(t, "[{002 [default]}]")
	changes = changes[2:3]
	j.keep(all, false)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty journal is left: %v", err)
	}
}

// What is made in the database before it is taken down does not stay in the journal.
func TestRows_DoneBeforeTakenDown(t *testing.T) {
	j, _ := journalIn(t)
	r := newRows(MasterConfig{Home: j.home, Log: j.log, Waiting: 1})
	if !r.reserve(1) {
		t.Fatal("no place")
	}
	r.journal.mu.Lock()
	var task sync.WaitGroup
	task.Go(func() { r.postpone([]change{joins("001", "web")}) })
	for range 1000 {
		if r.away() {
			break
		}
		runtime.Gosched()
	}
	// What pass does when the database takes everything.
	r.putBack(nil, len(r.take()))
	r.journal.keepLocked(r.left(), false)
	r.journal.mu.Unlock()
	task.Wait()
	r.journal.holds(t, fmt.Sprint(groupsLeft(r.left())))
}
