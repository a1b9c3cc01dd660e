package logging

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// retryRotation is how long a rotation that did not work is left alone.
	retryRotation = time.Minute
	// longestWait bounds the sleep to midnight, because clocks are set.
	longestWait = time.Minute
	dayFormat   = "2006-01-02"
)

// Run puts the log away at each local midnight and compresses what was put
// away, also what an earlier run of the node left behind, until ctx ends. It
// does nothing but wait when there is no file or no archive.
func (l *Log) Run(ctx context.Context) error {
	if l.o.Path == "" || l.o.Archive == "" {
		<-ctx.Done()
		return nil
	}
	var trouble Recurring
	for {
		l.rotateWhenDue()
		l.report(&trouble, l.compressAll(ctx)) //nolint:contextcheck // a line of the log needs no context
		timer := time.NewTimer(l.untilRotation())
		select {
		case <-ctx.Done(): // a file left half compressed is compressed at the next start
			timer.Stop()
			return nil
		case <-timer.C:
		case <-l.wake:
			timer.Stop()
		}
	}
}

func (l *Log) report(trouble *Recurring, err error) {
	switch {
	case err == nil:
		trouble.Recovered(l.logger, "The log is rotated again.")
	case !errors.Is(err, context.Canceled):
		trouble.Fail(l.logger, slog.LevelError, "Error rotating the log.", slog.Any("err", err))
	}
}

func (l *Log) untilRotation() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return longestWait
	}
	return min(max(time.Until(l.boundary), time.Millisecond), longestWait)
}

func (l *Log) rotateWhenDue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.file != nil && !now.Before(l.boundary) {
		l.rotateLocked(now)
	}
}

// rotateLocked moves the file aside, under a name that tells its day, and
// opens a new one. It is called between two lines, so no line is ever torn.
// When it does not work the old file stays in use for another minute.
func (l *Log) rotateLocked(now time.Time) {
	if err := l.moveAsideLocked(); err != nil {
		l.boundary = now.Add(retryRotation)
		return
	}
	select {
	case l.wake <- struct{}{}:
	default: // Run has been told already
	}
}

func (l *Log) moveAsideLocked() error {
	open, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.o.Path)
	if err != nil || !os.SameFile(open, there) || open.Size() == 0 {
		return l.reopenLocked() // somebody else moved it, or it holds nothing
	}
	name, err := l.asideName(l.boundary.AddDate(0, 0, -1))
	if err != nil {
		return err
	}
	if err := os.Rename(l.o.Path, name); err != nil {
		return err
	}
	if err := l.reopenLocked(); err != nil {
		return errors.Join(err, os.Rename(name, l.o.Path))
	}
	return nil
}

// asideName is a free name beside the log, NAME.YYYY-MM-DD.NNN, that sorts
// behind all that wait to be compressed, so that lines keep their order.
func (l *Log) asideName(day time.Time) (string, error) {
	waiting, err := l.waiting()
	if err != nil {
		return "", err
	}
	date, number := day.Format(dayFormat), 0
	for _, w := range waiting {
		if w.day.Format(dayFormat) == date {
			number = w.number + 1
		}
	}
	if number > 999 {
		return "", fmt.Errorf("move %s aside: too many files of %s wait to be compressed", l.o.Path, date)
	}
	return fmt.Sprintf("%s.%s.%03d", l.o.Path, date, number), nil
}

// aside is a file that was moved aside.
type aside struct {
	name   string
	day    time.Time
	number int
}

// waiting lists what was moved aside and not yet compressed, oldest first.
func (l *Log) waiting() ([]aside, error) {
	names, err := filepath.Glob(globEscape(l.o.Path) + ".????-??-??.???")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var list []aside
	for _, name := range names {
		date, digits, _ := strings.Cut(name[len(l.o.Path)+1:], ".")
		day, err := time.ParseInLocation(dayFormat, date, time.Local)
		if err != nil {
			continue // not one of ours
		}
		if number, err := strconv.ParseUint(digits, 10, 16); err == nil {
			list = append(list, aside{name, day, int(number)})
		}
	}
	return list, nil
}

// compressAll compresses every file that was moved aside, oldest first.
func (l *Log) compressAll(ctx context.Context) error {
	waiting, err := l.waiting()
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if err := l.compress(ctx, w.name, w.day); err != nil {
			return fmt.Errorf("compress %s: %w", w.name, err)
		}
	}
	return nil
}

// compress puts the file at name behind what the archive already has of the
// day (gzip files may be joined), then removes it.
func (l *Log) compress(ctx context.Context, name string, day time.Time) error {
	month := filepath.Join(l.o.Archive, day.Format("2006"), day.Format("Jan"))
	if err := l.makeDirectories(month); err != nil {
		return err
	}
	target := filepath.Join(month, fmt.Sprintf("%s-%02d.gz", filepath.Base(l.o.Path), day.Day()))
	temporary := target + ".tmp"
	if err := l.writeCompressed(ctx, temporary, target, name); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, target); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return os.Remove(name)
}

func (l *Log) writeCompressed(ctx context.Context, temporary, earlier, name string) (err error) {
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	own(out, 0o640, l.o)
	if err := copyFile(ctx, out, earlier); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	z := gzip.NewWriter(out)
	if err := copyFile(ctx, z, name); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Sync()
}

func copyFile(ctx context.Context, dst io.Writer, name string) error {
	src, err := os.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = io.Copy(dst, contextReader{ctx, src})
	return err
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// makeDirectories makes the archive's directories (0750) down to path.
func (l *Log) makeDirectories(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := l.makeDirectories(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o750); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if l.o.UID >= 0 || l.o.GID >= 0 {
		// As for files: a directory that we can write to is good enough.
		_ = os.Lchown(path, l.o.UID, l.o.GID)
	}
	return os.Chmod(path, 0o750)
}

// globEscape makes the characters of path stand for themselves in a pattern.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
