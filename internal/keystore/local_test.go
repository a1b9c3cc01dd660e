package keystore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"testudo/internal/agent"
)

// arrives puts a file of the master in place, as integrity does.
func arrives(t *testing.T, dir, content string) {
	t.Helper()
	write(t, dir, "etc/from-master", content)
	if err := os.Rename(filepath.Join(dir, "etc/from-master"), filepath.Join(dir, keysPath)); err != nil {
		t.Fatal(err)
	}
}

func learn(t *testing.T, l *Local, id, name string) Entry {
	t.Helper()
	e := newcomer(name, "any").Entry
	e.ID = id
	if err := l.Learn(e); err != nil {
		t.Fatal(err)
	}
	return e
}

// runLocal runs a Local; looked sends it a hint and returns when it has looked.
func runLocal(t *testing.T, l *Local) (looked func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changed, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- l.Run(ctx, changed) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func() {
		changed <- struct{}{}
		changed <- struct{}{} // taken after the first look
	}
}

// old is the master's file before anything is learned.
const old = "001 a any aa\n"

// local is a Local over a home with that file, which looks when it is told to.
func local(t *testing.T) (dir string, l *Local, looked func()) {
	t.Helper()
	root, dir := home(t)
	write(t, dir, keysPath, old)
	l = OpenLocal(root)
	return dir, l, l.look
}

func TestLocal_Expected(t *testing.T) {
	dir, l, looked := local(t)
	two := learn(t, l, "002", "b")
	learn(t, l, "003", "c")
	learn(t, l, "004", "d")
	l.Forget("004")
	expect := func(want ...agent.ID) {
		t.Helper()
		if got := slices.Sorted(maps.Keys(l.Expected())); !slices.Equal(got, want) {
			t.Errorf("%v expected, want %v", got, want)
		}
	}
	expect(2, 3)
	arrives(t, dir, old+text(two))
	looked()
	expect(3)
}

func TestLocal_LearnsAndPutsBack(t *testing.T) {
	dir, l, _ := local(t)
	looked := runLocal(t, l)
	two := learn(t, l, "002", "b")
	three := learn(t, l, "003", "c")
	holds(t, dir, keysPath, old+text(two)+text(three))
	learn(t, l, "003", "c")
	holds(t, dir, keysPath, old+text(two)+text(three)) // not twice

	// The master's file of before comes, then one with half of them.
	arrives(t, dir, old)
	looked()
	holds(t, dir, keysPath, old+text(two)+text(three))
	arrives(t, dir, old+text(two))
	looked()
	holds(t, dir, keysPath, old+text(two)+text(three))

	// What has arrived once may go again: the agent is removed.
	arrives(t, dir, old)
	looked()
	holds(t, dir, keysPath, old+text(three))
	// Often enough put back.
	for range maxBack {
		arrives(t, dir, old)
		looked()
	}
	holds(t, dir, keysPath, old)
}

// A file with a later agent is newer than the key that it lacks: that was removed.
func TestLocal_RemovedBeforeItArrived(t *testing.T) {
	dir, l, looked := local(t)
	two := learn(t, l, "002", "b")
	learn(t, l, "003", "c")
	five := learn(t, l, "005", "e")
	for _, later := range []string{"004 d any dd\n", "004 !d any dd\n"} {
		arrives(t, dir, old+text(two)+later)
		looked()
		holds(t, dir, keysPath, old+text(two)+later+text(five)) // 005 is younger
	}
}

// What we add ourselves to a file says nothing of that file's age.
func TestLocal_OwnLineIsNoSignOfAge(t *testing.T) {
	dir, l, looked := local(t)
	two := learn(t, l, "002", "b")
	three := newcomer("c", "any").Entry
	three.ID = "003"
	l.mu.Lock()
	arrives(t, dir, old) // just before a key is added to it
	if _, _, err := l.appendLocked([]Entry{three}); err != nil {
		t.Error(err)
	}
	l.learned["003"] = &learned{entry: three, until: time.Now().Add(learnedTime)}
	l.mu.Unlock()
	looked()
	holds(t, dir, keysPath, old+text(three)+text(two))
}

func TestLocal_Forget(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "")
	l := OpenLocal(root)
	looked := runLocal(t, l)
	two := learn(t, l, "002", "b")
	learn(t, l, "003", "c")
	l.Forget("003")
	arrives(t, dir, old)
	looked()
	holds(t, dir, keysPath, old+text(two))
}

// A worker that has never had the file keeps the key until it comes.
func TestLocal_NoFileYet(t *testing.T) {
	root, dir := home(t)
	l := OpenLocal(root)
	looked := runLocal(t, l)
	two := learn(t, l, "002", "b")
	arrives(t, dir, "001 a any aa")
	looked()
	holds(t, dir, keysPath, old+text(two))
}

// However files come and keys are learned at once, in the end the file has them
// all.
func TestLocal_ManyAtOnce(t *testing.T) {
	dir, l, _ := local(t)
	looked := runLocal(t, l)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() { learn(t, l, fmt.Sprintf("%03d", n+2), fmt.Sprint("agent-", n)) })
	}
	arrives(t, dir, old)
	wg.Wait()
	looked()
	if got := liveLines(t, dir); len(got) != 9 {
		t.Errorf("%q", got)
	}
}

func TestLocal_Bound(t *testing.T) {
	root, _ := home(t) // without a file: nothing is written
	l := OpenLocal(root)
	for n := range maxLearned + 10 {
		learn(t, l, fmt.Sprint(n+1), "name")
	}
	if len(l.learned) != maxLearned {
		t.Error(len(l.learned))
	}
}

// A file is ahead of the master's while learnt keys are all that was added.
func TestLocal_Ahead(t *testing.T) {
	dir, l, looked := local(t)
	check := func(what string, want bool) {
		t.Helper()
		if l.Ahead() != want {
			t.Errorf("%s: ahead is %v", what, !want)
		}
	}
	check("at first", false)
	two := learn(t, l, "002", "b")
	check("with a key", true)
	arrives(t, dir, old)
	check("replaced", false)
	looked()
	check("put back", true)
	arrives(t, dir, old+newLine(two, live).text+"\n")
	looked()
	check("the master's file has it", false)
	learn(t, l, "003", "c")
	write(t, dir, keysPath, "001 a any forged\n")
	check("changed by somebody else", false)
}
