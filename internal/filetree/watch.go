package filetree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"testudo/internal/manifest"
)

// gather is how long events are gathered before they are told: a change comes
// in several.
const gather = 20 * time.Millisecond

// Watch sends to changed, without waiting for a receiver, when something in the
// synchronised directories may have changed. Many changes at once are told once,
// some that change nothing may be told; what is not told the next scan finds.
// When watching is not possible it says so in the log, sends once, and waits. It
// returns nil when ctx ends.
func (t *Tree) Watch(ctx context.Context, changed chan<- struct{}) error {
	w, err := t.newWatch()
	if err != nil {
		t.warnOnce("Synchronised directories not watched, changes are found by the periodic scan.", "error", err)
		tell(changed)
		<-ctx.Done()
		return nil
	}
	w.addRoots()
	w.run(ctx, changed)
	t.watched.Store(false)
	return w.notify.Close()
}

// warnOnce says what is not watched, once for all who watch the tree.
func (t *Tree) warnOnce(msg string, args ...any) {
	if !t.warned.Swap(true) {
		t.log.Warn(msg, args...)
	}
}

// Quiet tells whether all synchronised directories are being watched and
// nothing has been heard of them since a moment. It is a hint: what has just
// happened may not have been heard of yet, and of the targets of links nothing
// is heard at all.
func (t *Tree) Quiet(since time.Time) bool {
	return t.watched.Load() && t.heard.Load() < since.UnixNano()
}

// hear takes down that something has changed just now.
func (t *Tree) hear() { t.heard.Store(time.Now().UnixNano()) }

func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// watch is one running Watch. It belongs to one goroutine.
type watch struct {
	*Tree
	notify *fsnotify.Watcher

	failed    map[string]struct{} // directories that cannot be watched, at most mostFailed
	uncounted bool                // there were more of them
}

func (t *Tree) newWatch() (*watch, error) {
	notify, err := fsnotify.NewBufferedWatcher(256)
	if err != nil {
		return nil, err
	}
	return &watch{Tree: t, notify: notify, failed: map[string]struct{}{}}, nil
}

func (w *watch) run(ctx context.Context, changed chan<- struct{}) {
	timer := time.NewTimer(0)
	<-timer.C
	waiting := false
	start := func() {
		w.hear()
		if !waiting {
			waiting = true
			timer.Reset(gather)
		}
	}
	for {
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case event := <-w.notify.Events:
			if w.relevant(event) {
				start()
			}
		case err := <-w.notify.Errors:
			// Events were lost, and with them perhaps new directories.
			w.log.Warn("Events of synchronised directories lost, watching all anew.", "error", err)
			w.addRoots()
			start()
		case <-timer.C:
			waiting = false
			tell(changed)
		}
	}
}

// relevant tells whether an event may be about a synchronised file. It goes on
// watching what has become a directory.
func (w *watch) relevant(event fsnotify.Event) bool {
	rel, err := filepath.Rel(w.home, event.Name)
	if err != nil {
		return true
	}
	if event.Op == fsnotify.Chmod {
		// No content changes, but perhaps who may read it: no reason to hurry, but
		// to look when it is time.
		if _, err := w.opts.Items.Match(rel); err == nil || w.inside(rel) {
			w.hear()
		}
		return w.readableNow(rel)
	}
	if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
		w.succeed(rel) // there is nothing to watch any more
	}
	if event.Has(fsnotify.Create) {
		if w.leadsToRoot(rel) {
			w.addRoots()
			return true
		}
		if info, err := os.Lstat(event.Name); err == nil && info.IsDir() {
			return w.addBelow(rel)
		}
	}
	_, err = w.opts.Items.Match(rel)
	// A name that is gone may have been a directory.
	gone := !event.Has(fsnotify.Create) && !event.Has(fsnotify.Write)
	return err == nil || gone && w.inside(rel) && !w.opts.Items.Excluded(lastName(rel))
}

// inside tells whether a path is an item's directory or lies in a recursive one.
func (w *watch) inside(rel string) bool {
	for i := range w.opts.Items.List {
		item := &w.opts.Items.List[i]
		if rel == item.Dir() || item.Recursive && strings.HasPrefix(rel, item.Dir()+"/") {
			return true
		}
	}
	return false
}

// leadsToRoot tells whether the path is an item's directory or above one.
func (w *watch) leadsToRoot(rel string) bool {
	for i := range w.opts.Items.List {
		below, found := strings.CutPrefix(w.opts.Items.List[i].Dir(), rel)
		if found && (below == "" || below[0] == '/') {
			return true
		}
	}
	return false
}

// addRoots watches every item's directory, with those below if it is recursive.
// In the place of one that does not exist the nearest directory above it is
// watched.
func (w *watch) addRoots() {
	failed := !w.complete()
	clear(w.failed)
	w.uncounted = false
	for i := range w.opts.Items.List {
		dir := w.opts.Items.List[i].Dir()
		for ; ; dir = filepath.Dir(dir) {
			if info, err := os.Stat(filepath.Join(w.home, dir)); err == nil && info.IsDir() {
				break
			}
			if dir == "." {
				break
			}
		}
		if dir == w.opts.Items.List[i].Dir() && w.opts.Items.List[i].Recursive {
			w.addBelow(dir)
		} else {
			w.add(dir)
		}
	}
	if w.complete() {
		w.rely(failed)
	} else {
		w.hear()
	}
}

// rely takes down that everything is watched. Of what happened before nothing was
// heard.
func (w *watch) rely(again bool) {
	w.hear()
	w.watched.Store(true)
	if again && w.warned.Swap(false) {
		w.log.Info("All synchronised directories are watched again.")
	}
}

// addBelow watches a directory and all below it, if it belongs to a recursive
// item. It follows no link.
func (w *watch) addBelow(rel string) bool {
	if !w.inside(rel) {
		return false
	}
	if !w.add(rel) {
		return true
	}
	entries, err := os.ReadDir(filepath.Join(w.home, rel))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fail(rel, err)
	}
	for _, e := range entries {
		sub := rel + "/" + e.Name()
		if e.IsDir() && len(sub) <= manifest.MaxPath && strings.Count(sub, "/") < maxDepth {
			w.addBelow(sub)
		}
	}
	return true
}

func (w *watch) add(rel string) bool {
	err := w.notify.Add(filepath.Join(w.home, rel))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fail(rel, err)
		return false
	}
	w.succeed(rel)
	return err == nil
}

// readableNow watches a directory that could not be watched, as one has to be
// that root makes first and gives away then. It tells whether it could.
func (w *watch) readableNow(rel string) bool {
	if _, failed := w.failed[rel]; !failed {
		return false
	}
	w.addBelow(rel)
	_, failed := w.failed[rel]
	return !failed
}

// mostFailed bounds the directories that are remembered for not being watched.
const mostFailed = 256

// complete tells whether every directory is watched.
func (w *watch) complete() bool { return len(w.failed) == 0 && !w.uncounted }

// fail tells the first failure only: mostly the limit of watches is reached, and
// the others fail alike.
func (w *watch) fail(rel string, err error) {
	w.warnOnce("A synchronised directory is not watched, its changes are found by the periodic scan.", "directory", rel, "error", err)
	if len(w.failed) < mostFailed {
		w.failed[rel] = struct{}{}
	} else {
		w.uncounted = true
	}
	w.watched.Store(false)
}

// succeed takes down that a directory is watched or gone. With the last one that
// was not, the watch can be relied upon again.
func (w *watch) succeed(rel string) {
	if _, failed := w.failed[rel]; !failed {
		return
	}
	delete(w.failed, rel)
	if w.complete() {
		w.rely(true)
	}
}
