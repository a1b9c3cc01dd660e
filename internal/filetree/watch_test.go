package filetree

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testudo/internal/manifest"
)

// watching runs Watch. told waits for it to tell something, quiet until it has
// told nothing for a while and whether it told nothing at all.
func watching(h home, tree *Tree) (told, quiet func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- tree.Watch(ctx, changed) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	told = func() bool {
		select {
		case <-changed:
			return true
		case <-time.After(5 * time.Second):
			return false
		}
	}
	quiet = func() bool {
		for silent := true; ; silent = false {
			select {
			case <-changed:
			case <-time.After(4 * gather):
				return silent
			}
		}
	}
	// Watch is ready when it tells of a file written again and again.
	for range 1000 {
		h.write("etc/rules/ready", "")
		select {
		case <-changed:
			h.remove("etc/rules/ready")
			if !told() {
				h.t.Fatal("the removal was not told")
			}
			quiet()
			return told, quiet
		case <-time.After(gather):
		}
	}
	h.t.Fatal("not watching")
	return nil, nil
}

func TestWatch_TellsChanges(t *testing.T) {
	h := newHome(t).write("etc/shared/g/a", "1", "etc/rules/dir/b", "2", "etc/client.keys", "3", "etc/rules/dir2/c/d", "4")
	told, quiet := watching(h, h.open())
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"a file written", func() { h.write("etc/shared/g/a", "11") }},
		{"a file in a directory below", func() { h.write("etc/rules/dir2/c/d", "44") }},
		{"client.keys", func() { h.write("etc/client.keys", "33") }},
		{"a new directory", func() { h.must(os.MkdirAll(h.path("etc/rules/new/deep"), 0o770)) }},
		{"a file in it", func() { h.write("etc/rules/new/deep/file", "5") }},
		{"a removed file", func() { h.remove("etc/rules/dir/b") }},
		{"a file replaced by renaming", func() {
			h.write("other", "6")
			h.must(os.Rename(h.path("other"), h.path("etc/rules/dir/b")))
		}},
		{"a removed directory", func() { h.remove("etc/rules/new") }},
		{"a directory moved in", func() {
			h.write("moved/x", "7")
			h.must(os.Rename(h.path("moved"), h.path("etc/lists/moved")))
		}},
		{"a file in it", func() { h.write("etc/lists/moved/x", "77") }},
		{"a directory renamed", func() { h.must(os.Rename(h.path("etc/lists/moved"), h.path("etc/lists/again"))) }},
		{"a file in it", func() { h.write("etc/lists/again/x", "777") }},
		{"an item's directory removed", func() { h.remove("etc/decoders") }},
		{"made again", func() { h.must(os.Mkdir(h.path("etc/decoders"), 0o770)) }},
		{"a file in it", func() { h.write("etc/decoders/x", "8") }},
	} {
		step.change()
		if !told() {
			t.Errorf("%s: not told", step.name)
		}
		quiet()
	}
}

func TestWatch_IsSilentAboutOtherFiles(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1")
	tree := h.open()
	told, quiet := watching(h, tree)
	began := time.Now()
	h.write("etc/ossec.conf", "x", "etc/rules/a.swp", "x", "etc/shared/ar.conf", "x", "queue/x", "x", "etc/other/x", "x")
	h.remove("etc/rules/a.swp")
	h.must(os.Chmod(h.path("etc/rules/a"), 0o600))
	if !quiet() {
		t.Error("told of files that are not synchronised")
	}
	if tree.Quiet(began) {
		t.Error("a file may not be readable any more, and the last scan still counts")
	}
	h.write("etc/rules/a", "2")
	if !told() {
		t.Error("not told of one that is")
	}
}

func TestWatch_DirectoriesThatComeLater(t *testing.T) {
	h := newHome(t).remove("etc/lists").remove("var")
	told, quiet := watching(h, h.open())
	for _, path := range []string{"etc/lists/a", "var/multigroups/g/merged.mg"} {
		h.must(os.MkdirAll(h.path(path[:strings.LastIndexByte(path, '/')]), 0o770))
		if !told() {
			t.Fatalf("directory of %s: not told", path)
		}
		quiet()
		h.write(path, "1")
		if !told() {
			t.Fatalf("%s: not told", path)
		}
		quiet()
	}
}

// buffer is a log that goroutines share.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestWatch_WhenItCannotWatch(t *testing.T) {
	h := newHome(t)
	var log buffer
	tree := h.open(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	var old syscall.Rlimit
	h.must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	h.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}))
	ctx, cancel := context.WithCancel(context.Background())
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- tree.Watch(ctx, changed) }()
	<-changed
	h.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
	select {
	case err := <-ended:
		t.Fatalf("ended: %v", err)
	default:
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "not watched") {
		t.Errorf("log: %s", log.String())
	}
}

// Several may watch a tree; that a directory is not watched concerns all of them.
func TestWatch_FailureIsLoggedOnce(t *testing.T) {
	h := newHome(t)
	var log buffer
	tree := h.open(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 3 {
		w := watch{Tree: tree, failed: map[string]struct{}{}}
		w.fail("etc/rules/a", syscall.EACCES)
		w.fail("etc/rules/b", syscall.EACCES)
	}
	if n := strings.Count(log.String(), "not watched"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// What root makes and gives away then is watched from then on.
func TestWatch_DirectoryThatBecomesReadable(t *testing.T) {
	h := newHome(t).write("etc/rules/dir/below/a", "1")
	h.must(os.Chmod(h.path("etc/rules/dir"), 0))
	t.Cleanup(func() { h.must(os.Chmod(h.path("etc/rules/dir"), 0o770)) })
	unprivileged(h)
	var log buffer
	tree := h.open(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	told, quiet := watching(h, tree)
	if tree.Quiet(time.Now().Add(time.Hour)) {
		t.Error("quiet, but a directory is not watched")
	}
	h.must(os.Chmod(h.path("etc/rules/dir"), 0o770))
	if !told() {
		t.Error("not told that a directory can be read")
	}
	quiet()
	if !tree.Quiet(time.Now().Add(time.Hour)) {
		t.Error("not quiet, but everything is watched")
	}
	h.write("etc/rules/dir/below/a", "2")
	if !told() {
		t.Error("a file in it: not told")
	}
	for _, line := range []string{"etc/rules/dir ", "watched again"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%d times %q in the log: %s", n, line, log.String())
		}
	}
}

func TestWatch_LostEventsAreTold(t *testing.T) {
	h := newHome(t)
	w := newWatchOf(t, h)
	changed := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.run(ctx, changed); close(ended) }()
	w.notify.Errors <- os.ErrDeadlineExceeded
	<-changed
	h.write("etc/rules/a", "1") // watched by what followed the loss
	<-changed
	cancel()
	<-ended
	h.must(w.notify.Close())
}

// newWatchOf is a watch that watches nothing yet.
func newWatchOf(t *testing.T, h home) *watch {
	t.Helper()
	tree := h.open(func(o *Options) { o.Items = manifest.DefaultItems() })
	w, err := tree.newWatch()
	h.must(err)
	return w
}

func TestWatch_QuietUntilSomethingIsHeard(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "etc/rules"), 0o770); err != nil {
		t.Fatal(err)
	}
	tree, err := Open(home, Options{Items: manifest.DefaultItems(), UID: -1, GID: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if tree.Quiet(time.Now()) {
		t.Error("quiet, but nobody watches")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	changed := make(chan struct{}, 1)
	go func() { ended <- tree.Watch(ctx, changed) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	earlier := time.Now()
	for !tree.Quiet(time.Now()) {
		<-tick.C
	}
	before := time.Now()
	if tree.Quiet(earlier) {
		t.Error("quiet at a time when nobody watched")
	}
	if err := os.WriteFile(filepath.Join(home, "etc/rules/a.xml"), []byte("a"), 0o660); err != nil {
		t.Fatal(err)
	}
	<-changed
	if tree.Quiet(before) {
		t.Error("quiet, but a file was written")
	}
	if !tree.Quiet(time.Now()) {
		t.Error("not quiet, but nothing happened since")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if tree.Quiet(time.Now()) {
		t.Error("quiet, but nobody watches any more")
	}
}

// What was applied has been heard of before the watch tells of it: a worker that
// looks again at once must not take its last scan for what it has now.
func TestApply_IsHeardOfAtOnce(t *testing.T) {
	p := newPair(t)
	p.master.write("etc/rules/a.xml", "a")
	p.to.watched.Store(true) // by a watch that is behind
	before := time.Now()
	if !p.to.Quiet(before) {
		t.Fatal("not quiet, but nothing has happened")
	}
	p.sync(t)
	if p.to.Quiet(before) {
		t.Error("quiet, but a file has been put into its place")
	}
}
