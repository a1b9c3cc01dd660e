package keystore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

const (
	timestampsPath = "queue/agents-timestamp"
	maxTimestamp   = 1024 // bytes of a line that counts
)

// readTimestamps gives the lines of a table the times of their enrolment. Lines
// that are none are passed over; of two for one agent the last counts.
func readTimestamps(root *os.Root, t *table) error {
	f, err := root.Open(timestampsPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read times of enrolment: %w", err)
	}
	defer f.Close()
	b := bufio.NewReaderSize(io.LimitReader(f, maxFile), 1<<16)
	for next := 0; ; {
		text, err := b.ReadSlice('\n')
		if len(text) > 0 && len(text) <= maxTimestamp {
			next = t.stamp(string(text), next)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read times of enrolment: %w", err)
		}
	}
}

// stamp takes in a line "ID NAME ADDRESS YYYY-MM-DD HH:MM:SS" in local time. It
// counts for the entry that has id and name, which is mostly the one at next; the
// place behind it is returned.
func (t *table) stamp(text string, next int) int {
	text = strings.TrimRight(text, "\r\n")
	id, rest, _ := strings.Cut(text, " ")
	name, _, _ := strings.Cut(rest, " ")
	at := next
	if at >= len(t.lines) || t.lines[at].id() != id {
		at = t.ids.find(t.lines, id, nil)
	}
	if at < 0 || t.lines[at].name() != name || len(text) < len(time.DateTime) {
		return next
	}
	when, err := time.ParseInLocation(time.DateTime, text[len(text)-len(time.DateTime):], time.Local)
	if err == nil && when.Unix() > 0 {
		t.lines[at].added = when.Unix()
	}
	return at + 1
}

// timestamp writes the line of an entry, none when the time is not known.
func timestamp(b []byte, l *line) []byte {
	if l.kind != live || l.added == 0 {
		return b
	}
	b = append(b, l.id()...)
	b = append(append(b, ' '), l.name()...)
	b = append(append(b, ' '), l.address()...)
	b = time.Unix(l.added, 0).AppendFormat(append(b, ' '), time.DateTime)
	return append(b, '\n')
}

// appendTimestamps adds the times of new lines, and gives what takes them back.
func (o *Options) appendTimestamps(root *os.Root, lines []line) (undo func(), err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write times of enrolment: %w", err)
		}
	}()
	_, statErr := root.Stat(timestampsPath)
	f, err := root.OpenFile(timestampsPath, os.O_RDWR|os.O_CREATE|os.O_APPEND, newMode)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if errors.Is(statErr, fs.ErrNotExist) && o.UID > 0 {
		if err := f.Chown(o.UID, max(o.GID, -1)); err != nil {
			return nil, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var data []byte
	if size := info.Size(); size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
			data = append(data, '\n')
		}
	}
	for i := range lines {
		data = timestamp(data, &lines[i])
	}
	n, err := f.Write(data)
	undo = func() { _ = cutFile(root, timestampsPath, info.Size(), info.Size()+int64(n)) }
	if err != nil {
		undo()
	}
	return undo, err
}

// cutFile takes the end of a file off, if it is as long as it was.
func cutFile(root *os.Root, name string, to, from int64) error {
	f, err := root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != from {
		return err
	}
	return f.Truncate(to)
}

// rewriteTimestamps puts a file of the times of all entries in place, or what it
// is to hold into the one that is there: its directory may be root's alone.
func (o *Options) rewriteTimestamps(root *os.Root, t *table) error {
	_, err := o.replace(root, timestampsPath, &lineReader{lines: t.lines, format: timestamp}, false)
	if errors.Is(err, fs.ErrPermission) {
		err = overwrite(root, timestampsPath, &lineReader{lines: t.lines, format: timestamp})
	}
	if err != nil {
		return fmt.Errorf("write times of enrolment: %w", err)
	}
	return nil
}

// overwrite gives a file that is there other content.
func overwrite(root *os.Root, name string, r io.Reader) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
