package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"testudo/internal/agent"
	"testudo/internal/logging"
)

const (
	learnedTime = 30 * time.Second // as long a key is put back
	learnedTurn = time.Second      // between two looks at the file
	maxBack     = 3                // times that a key is put back
	maxLearned  = 10_000           // keys that are remembered; more are not put back
	localTail   = 64 << 10         // bytes at the end of the file where a key is looked for
)

// Local is a worker's client.keys, which the master writes: it learns a key that
// the master has just given before the file with it comes. What it writes need
// not reach the disk, the master has it. All methods may be called at once.
type Local struct {
	Log *slog.Logger // nil: nothing is logged. Set before use

	root    *os.Root
	failing logging.Recurring

	mu      sync.Mutex
	learned map[string]*learned // by id
	seen    fs.FileInfo         // the file that has them all, as we left it
	ours    fs.FileInfo         // the last file that we have added to
}

// learned is a key that the master's file may not have yet.
type learned struct {
	entry Entry
	until time.Time
	back  int // times that it was put back
}

// OpenLocal makes a Local of the home at root, which stays open.
func OpenLocal(root *os.Root) *Local { return &Local{root: root, learned: map[string]*learned{}} }

// Learn adds an entry to the file at once. For a while it is put back when a file
// comes that does not have it; where there is no file yet, it is added to the
// first.
func (l *Local) Learn(e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lookLocked()
	before, after, err := l.appendLocked([]Entry{e})
	if err != nil {
		return err
	}
	if len(l.learned) == 0 || unchanged(l.seen, before) {
		l.seen = after // else the next look finds what another one does not have
	}
	if len(l.learned) < maxLearned {
		l.learned[e.ID] = &learned{entry: e, until: time.Now().Add(learnedTime)}
	}
	return nil
}

// Forget does not put a key back any more: the agent did not get it.
func (l *Local) Forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.learned, id)
}

// Expected gives the agents whose keys the master's file may not have yet.
func (l *Local) Expected() map[agent.ID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(time.Now())
	expected := make(map[agent.ID]bool, len(l.learned))
	for i := range l.learned {
		if id, err := agent.ParseID(l.learned[i].entry.ID); err == nil {
			expected[id] = true
		}
	}
	return expected
}

// Ahead tells whether the file is a master's with nothing but learnt keys added.
func (l *Local) Ahead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(time.Now())
	if len(l.learned) == 0 {
		return false
	}
	info, err := l.root.Stat(keysPath)
	return err == nil && unchanged(l.seen, info)
}

// Run puts back what a new file does not have yet. changed tells that a new file
// has come; without it that is noticed a second later. Run ends with ctx.
func (l *Local) Run(ctx context.Context, changed <-chan struct{}) error {
	ticker := time.NewTicker(learnedTurn)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-changed:
			if !open {
				changed = nil
			}
		case <-ticker.C:
		}
		l.look()
	}
}

// look is one turn of Run.
func (l *Local) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(time.Now())
	l.lookLocked()
}

func (l *Local) expireLocked(now time.Time) {
	maps.DeleteFunc(l.learned, func(_ string, k *learned) bool { return now.After(k.until) || k.back >= maxBack })
}

// lookLocked puts back what the file does not have, if it is not as it was left.
func (l *Local) lookLocked() {
	if len(l.learned) == 0 {
		return
	}
	info, err := l.root.Stat(keysPath)
	if errors.Is(err, fs.ErrNotExist) || err == nil && unchanged(l.seen, info) {
		return
	}
	if err == nil {
		err = l.putBackLocked()
	}
	if err != nil && l.Log != nil {
		l.failing.Fail(l.Log, slog.LevelWarn, "New keys cannot be put back into client.keys. Their agents wait for the master's file.", slog.Any("error", err))
	}
}

func (l *Local) putBackLocked() error {
	file := keysFile{root: l.root}
	text, err := file.read()
	if err != nil {
		return fmt.Errorf("read %s: %w", keysPath, err)
	}
	newest := l.arrivedLocked(text, file.seen)
	missing := make([]Entry, 0, len(l.learned))
	for _, id := range slices.Sorted(maps.Keys(l.learned)) {
		if number(id) < newest {
			delete(l.learned, id) // the file is newer than the key, whose agent is gone
			continue
		}
		l.learned[id].back++
		missing = append(missing, l.learned[id].entry)
	}
	before, after, err := l.appendLocked(missing)
	if err == nil && unchanged(file.seen, before) {
		l.seen = after
	}
	return err
}

// arrivedLocked does not wait any more for what a file has, and gives the highest
// id by which that shows its age: ids are given in their order, so that whoever
// has a lower one was there before. A line that may be our own shows nothing.
func (l *Local) arrivedLocked(text string, info fs.FileInfo) (newest int) {
	ours := l.ours != nil && info != nil && os.SameFile(l.ours, info)
	for line := range strings.Lines(text) {
		id, _, _ := strings.Cut(line, " ")
		if _, learnt := l.learned[id]; !learnt || !ours {
			newest = max(newest, number(id))
		}
	}
	for line := range strings.Lines(text) {
		id, _, _ := strings.Cut(line, " ")
		delete(l.learned, id)
	}
	return newest
}

// appendLocked adds entries to the file, again if another one takes its place
// meanwhile. It returns the file before and after that; nil when there is none.
func (l *Local) appendLocked(entries []Entry) (before, after fs.FileInfo, err error) {
	for range maxTries {
		before, after, err = l.appendOnce(entries)
		if !errors.Is(err, errMoved) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("write %s: %w", keysPath, err)
	}
	return before, after, nil
}

// appendOnce adds those entries to the file that its end does not have.
func (l *Local) appendOnce(entries []Entry) (before, after fs.FileInfo, err error) {
	f, err := l.root.OpenFile(keysPath, os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	before, err = f.Stat()
	if err == nil && !before.Mode().IsRegular() {
		err = errors.New("is no file")
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := lacking(f, before.Size(), entries)
	if err != nil {
		return nil, nil, err
	}
	if n, err := f.Write(data); err != nil {
		return nil, nil, errors.Join(err, cutFile(l.root, keysPath, before.Size(), before.Size()+int64(n)))
	}
	l.ours = before
	after, err = l.root.Stat(keysPath)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(before, after) {
		err = errMoved
	}
	return before, after, err
}

// lacking gives what to add to a file for it to have the entries, of which its end
// may have some.
func lacking(f *os.File, size int64, entries []Entry) ([]byte, error) {
	tail := make([]byte, 1+min(size, localTail))
	tail[0] = '\n'
	if _, err := f.ReadAt(tail[1:], size-int64(len(tail)-1)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var data []byte
	if tail[len(tail)-1] != '\n' {
		data = []byte{'\n'}
	}
	for _, e := range entries {
		text := newLine(e, live).text
		if !bytes.Contains(tail, []byte("\n"+text)) {
			data = append(append(data, text...), '\n')
		}
	}
	return data, nil
}
