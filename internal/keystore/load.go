package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"

	"testudo/internal/atomicfile"
)

// load reads the file when the store is opened. alone says that nobody else has
// the keys open.
func (s *Store) load(alone bool) error {
	if s.o.Brief {
		if err := s.o.keepCrash(s.root, alone); err != nil {
			return err
		}
	}
	m, err := readMark(s.root)
	if err != nil {
		return err
	}
	text, err := s.file.read()
	if err != nil {
		return err
	}
	if s.file.seen != nil {
		s.modified = s.file.seen.ModTime()
	}
	s.modified, s.unclean = m.crash(alone, s.modified)
	if m.Open && alone {
		s.cleanTemporary()
		if s.file.unended {
			if text, err = s.cutTail(text); err != nil {
				return err
			}
		}
	}
	s.t = s.parse(text)
	s.highest = max(m.Highest, s.t.highest)
	return nil
}

// cutTail takes off what a process that died left of a last line: nobody was told
// of it.
func (s *Store) cutTail(text string) (string, error) {
	whole := text[:strings.LastIndexByte(text, '\n')+1]
	if err := cutFile(s.root, keysPath, int64(len(whole)), int64(len(text))); err != nil {
		return "", fmt.Errorf("cut off a line that was not written to its end: %w", err)
	}
	s.o.Log.Warn("A last line of client.keys that was not written to its end is cut off. No agent was told of it.", slog.Int("bytes", len(text)-len(whole)))
	info, err := s.root.Stat(keysPath)
	if err != nil {
		return "", err
	}
	s.file.seen, s.file.unended = info, false
	return whole, nil
}

// cleanTemporary removes the files that a process that died was about to put in
// place.
func (s *Store) cleanTemporary() {
	for _, name := range []string{keysPath, timestampsPath} {
		dir, base := path.Split(name)
		entries, err := fs.ReadDir(s.root.FS(), path.Clean(dir))
		for _, e := range entries {
			if atomicfile.IsTemporary(e.Name()) && strings.HasPrefix(e.Name(), "."+base+".") {
				err = errors.Join(err, s.root.Remove(dir+e.Name()))
			}
		}
		if err != nil {
			s.o.Log.Warn("What a crash left of client.keys cannot be removed.", slog.Any("error", err))
		}
	}
}

// parse reads the text of the file, with the times of enrolment.
func (s *Store) parse(text string) *table {
	t, bad := parseTable(text)
	if err := readTimestamps(s.root, t); err != nil {
		s.o.Log.Warn("The times of enrolment cannot be read.", slog.Any("error", err))
	}
	s.logBad(bad)
	return t
}

// maxBadLines is how many lines that are none are named in the log.
const maxBadLines = 20

// logBad names the lines that are none, once for as long as they are the same.
func (s *Store) logBad(bad []badLine) {
	numbers := make([]string, 0, maxBadLines)
	for _, b := range bad[:min(len(bad), maxBadLines)] {
		numbers = append(numbers, strconv.Itoa(b.number))
	}
	text := strings.Join(numbers, ", ")
	if text != s.badLines && text != "" {
		s.o.Log.Warn("Lines of client.keys are not of the form \"ID NAME ADDRESS KEY\". They are kept as they are.",
			slog.String("lines", text), slog.Int("count", len(bad)))
	}
	s.badLines = text
}

// look reads the file if somebody else has changed it. It is called under the
// lock of the keys.
func (s *Store) look() error {
	touched, err := s.file.touched()
	if err != nil {
		return fmt.Errorf("look at %s: %w", keysPath, err)
	}
	if s.file.missing && s.t.live > 0 {
		s.missing.Fail(s.o.Log, slog.LevelWarn, "client.keys is not there. The next change writes it again.")
	} else {
		s.missing.Recovered(s.o.Log, "client.keys is there again.")
	}
	if !touched {
		return nil
	}
	text, err := s.file.read()
	if err != nil {
		return fmt.Errorf("read %s: %w", keysPath, err)
	}
	if s.file.missing {
		return nil
	}
	m, err := readMark(s.root)
	if err != nil {
		return err
	}
	t := s.parse(text)
	s.highest = max(s.highest, m.Highest, t.highest)
	if t.highest < s.highest && m.Highest < s.highest {
		if err := s.writeMark(s.highest); err != nil {
			return err
		}
	}
	known := s.t
	s.mu.Lock()
	s.t = t
	s.mu.Unlock()
	if !t.sameEntries(known) {
		s.emptied.Store(false)
		s.robbed = t.live == 0
		s.o.Log.Info("client.keys was changed by somebody else and is read again.", slog.Int("agents", t.live), slog.Int("before", known.live))
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	return nil
}

// refresh is look for when nobody waits for it. It takes no lock unless there is
// something to read, or to put right for the sake of a crash to come.
func (s *Store) refresh(ctx context.Context) {
	touched, err := s.file.touched()
	switch {
	case err != nil || touched || s.file.missing:
		err = s.locked(ctx, s.look)
	case s.file.unended:
		err = s.locked(ctx, s.endLine)
	case s.marked && s.highest > s.noted:
		err = s.locked(ctx, func() error { return s.writeMark(s.highest) })
	}
	switch {
	case err == nil:
		s.looks.Recovered(s.o.Log, "client.keys can be looked at again.")
	case ctx.Err() == nil:
		s.looks.Fail(s.o.Log, slog.LevelWarn, "client.keys cannot be looked at.", slog.Any("error", err))
	}
}

// locked does something with the lock of the keys.
func (s *Store) locked(ctx context.Context, do func() error) error {
	release, err := s.o.lock(ctx, s.root)
	if err != nil {
		return err
	}
	defer release()
	return do()
}

// endLine gives a last line without its end one (see begin), when nobody has
// changed the file any more.
func (s *Store) endLine() error {
	if touched, err := s.file.touched(); err == nil && !touched {
		if err := s.file.endLine(); !errors.Is(err, errMoved) {
			return err
		}
	}
	return s.look()
}

// writeMark has the mark say that we are open, and the highest id.
func (s *Store) writeMark(highest int) error {
	m, err := readMark(s.root)
	if err != nil {
		return err
	}
	highest = max(highest, m.Highest)
	if err := s.o.writeMark(s.root, mark{Highest: highest, Open: true, Crashed: s.crashed(m)}); err != nil {
		return err
	}
	s.marked, s.noted = true, highest
	return nil
}

// unmark has the mark say that all is well, if nobody else has the keys open.
func (s *Store) unmark() error {
	release, err := s.o.lock(context.Background(), s.root)
	if err != nil {
		return err
	}
	defer release()
	m, err := readMark(s.root)
	if err != nil {
		return err
	}
	if alone, err := s.presence.alone(); err != nil || !alone || !m.Open && m.Crashed == s.crashed(m) {
		return err
	}
	return s.o.writeMark(s.root, mark{Highest: max(m.Highest, s.highest), Crashed: s.crashed(m)})
}

// crashed is what a mark goes on to tell of a crash.
func (s *Store) crashed(m mark) int64 {
	if s.o.Brief {
		return m.Crashed
	}
	return 0
}
