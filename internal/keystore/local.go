package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"testudo/internal/logging"
)

const (
	learnedTime = 30 * time.Second // as long a key is put back
	learnedTurn = time.Second      // between two looks at the file
	maxBack     = 3                // times that a key is put back
	maxLearned  = 10_000           // keys that are remembered
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
	learned []learned   // the oldest first
	seen    fs.FileInfo // the file that has them all
}

// learned is a key that the master's file may not have yet.
type learned struct {
	entry Entry
	until time.Time
	back  int // times that it was put back
}

// OpenLocal makes a Local of the home at root, which stays open.
func OpenLocal(root *os.Root) *Local { return &Local{root: root} }

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
	info, err := l.appendLocked([]Entry{e})
	if err != nil {
		return err
	}
	if len(l.learned) == 0 {
		l.seen = info // else the next look finds out whether it is another one
	}
	if len(l.learned) >= maxLearned {
		l.learned = slices.Delete(l.learned, 0, 1)
	}
	l.learned = append(l.learned, learned{entry: e, until: time.Now().Add(learnedTime)})
	return nil
}

// Forget does not put a key back any more: the agent did not get it.
func (l *Local) Forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learned = slices.DeleteFunc(l.learned, func(k learned) bool { return k.entry.ID == id })
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
		l.mu.Lock()
		l.lookLocked()
		l.mu.Unlock()
	}
}

// lookLocked puts back what a file in the place of the one seen does not have.
func (l *Local) lookLocked() {
	now := time.Now()
	l.learned = slices.DeleteFunc(l.learned, func(k learned) bool { return now.After(k.until) || k.back >= maxBack })
	if len(l.learned) == 0 {
		return
	}
	info, err := l.root.Stat(keysPath)
	if errors.Is(err, fs.ErrNotExist) || err == nil && l.seen != nil && os.SameFile(info, l.seen) {
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
	there := map[string]bool{}
	for i := range l.learned {
		there[l.learned[i].entry.ID] = false
	}
	for line := range strings.Lines(text) {
		id, _, _ := strings.Cut(line, " ")
		if _, ours := there[id]; ours {
			there[id] = true
		}
	}
	l.learned = slices.DeleteFunc(l.learned, func(k learned) bool { return there[k.entry.ID] })
	missing := make([]Entry, 0, len(l.learned))
	for i := range l.learned {
		l.learned[i].back++
		missing = append(missing, l.learned[i].entry)
	}
	info, err := l.appendLocked(missing)
	if err == nil {
		l.seen = info
	}
	return err
}

// appendLocked adds entries to the file, again if another one takes its place
// meanwhile. It returns the file that has them, nil when there is none.
func (l *Local) appendLocked(entries []Entry) (fs.FileInfo, error) {
	for range maxTries {
		info, err := l.appendOnce(entries)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil //nolint:nilnil // there is no file
		}
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", keysPath, err)
		}
		if now, err := l.root.Stat(keysPath); err == nil && os.SameFile(now, info) {
			return info, nil
		}
	}
	return nil, fmt.Errorf("write %s: %w", keysPath, errMoved)
}

// appendOnce adds those entries to the file that its end does not have.
func (l *Local) appendOnce(entries []Entry) (fs.FileInfo, error) {
	f, err := l.root.OpenFile(keysPath, os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no file")
	}
	if err != nil {
		return nil, err
	}
	tail := make([]byte, 1+min(info.Size(), localTail))
	tail[0] = '\n'
	if _, err := f.ReadAt(tail[1:], info.Size()-int64(len(tail)-1)); err != nil && !errors.Is(err, io.EOF) {
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
	if len(data) <= 1 {
		return info, nil
	}
	if n, err := f.Write(data); err != nil {
		return nil, errors.Join(err, cutFile(l.root, keysPath, info.Size(), info.Size()+int64(n)))
	}
	return info, nil
}
