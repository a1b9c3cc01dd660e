package filetree

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"testudo/internal/manifest"
)

func TestScan_RecentChangesAreReadAgain(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1")
	tree := h.open()
	tree.setWindow(time.Hour)
	first := scan(t, tree)
	again := scan(t, tree)
	if again.Hashed != 1 || again.Manifest != first.Manifest {
		t.Errorf("hashed %d, same manifest %v", again.Hashed, again.Manifest == first.Manifest)
	}
	tree.setWindow(0)
	scan(t, tree)
	if s := scan(t, tree); s.Hashed != 0 {
		t.Errorf("hashed %d when settled", s.Hashed)
	}
}

func TestWindows(t *testing.T) {
	now := time.Unix(1700000000, 0)
	at := func(d time.Duration) stamp { return stamp{dev: 1, ctime: now.Add(-d).UnixNano()} }
	w := windows{byDev: map[uint64]time.Duration{1: fineWindow, 2: coarseWindow}}
	for _, c := range []struct {
		name string
		s    stamp
		want bool
	}{
		{"just now", at(1), false},
		{"a tick ago", at(10 * time.Millisecond), false},
		{"some ticks ago", at(21 * time.Millisecond), true},
		{"the clock was set back", at(-time.Hour), false},
		{"whole seconds, one ago", at(time.Second), false},
		{"whole seconds, three ago", at(3 * time.Second), true},
		{"remote, one second ago", stamp{dev: 2, ctime: now.Add(-time.Second).UnixNano() + 1}, false},
		{"remote, three seconds ago", stamp{dev: 2, ctime: now.Add(-3*time.Second).UnixNano() + 1}, true},
	} {
		if got := w.settled(c.s, now, -1); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestWindows_RememberFewFileSystems(t *testing.T) {
	var w windows
	for dev := range uint64(1000) {
		w.of(dev, -1)
	}
	if len(w.byDev) > 64 {
		t.Errorf("%d remembered", len(w.byDev))
	}
}

func TestScan_FileThatChangesWhileRead(t *testing.T) {
	h := newHome(t).write("etc/rules/log", "x", "etc/rules/calm", "1")
	tree := h.open(func(o *Options) { o.Workers = 1 })
	n := 1
	grow := meddler{context.Background(), func() { n++; h.write("etc/rules/log", strings.Repeat("x", n)) }}
	s, err := tree.Scan(grow)
	h.must(err)
	wantFiles(t, s.Manifest, "etc/rules/calm")
	wantProblems(t, s.Unreadable, "etc/rules/log: changes while")
	if !errors.Is(s.Unreadable[0].Err, ErrChanging) {
		t.Errorf("%v", s.Unreadable[0].Err)
	}
	s = scan(t, tree)
	wantFiles(t, s.Manifest, "etc/rules/calm", "etc/rules/log")
	wantProblems(t, s.Unreadable)
	// One that is known already keeps its last entry meanwhile.
	known := s.Manifest
	n = 100
	h.write("etc/rules/log", "changed")
	s, err = tree.Scan(meddler{context.Background(), func() { n++; h.write("etc/rules/log", strings.Repeat("y", n)) }})
	h.must(err)
	wantProblems(t, s.Unreadable, "etc/rules/log: changes while")
	if s.Manifest != known {
		t.Error("the manifest changed")
	}
	if s = scan(t, tree); s.Hashed != 1 || s.Manifest == known {
		t.Errorf("afterwards: hashed %d, same %v", s.Hashed, s.Manifest == known)
	}
}

func TestScan_FileThatChangesOnceWhileRead(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "old")
	tree := h.open()
	once := false
	s, err := tree.Scan(meddler{context.Background(), func() {
		if !once {
			once = true
			h.write("etc/rules/a", "new!")
		}
	}})
	h.must(err)
	wantProblems(t, s.Unreadable)
	if e, _ := s.Manifest.Lookup("etc/rules/a"); e.Digest != manifest.DigestOf([]byte("new!")) || e.Size != 4 {
		t.Errorf("%+v", e)
	}
}
