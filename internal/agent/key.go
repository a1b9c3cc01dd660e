package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// hidden is what a secret shows of itself.
const hidden = "***"

// Secret is the key that a node shares with an agent. It never shows itself in a
// log, an error or a printed value; Reveal is the only way to it.
type Secret struct {
	_    [0]func() // it is compared with Equal: == would compare places
	text *string   // nil: ""
}

// NewSecret wraps the text of a key.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text of the key.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal tells whether two are the same key.
func (s Secret) Equal(o Secret) bool { return s.Reveal() == o.Reveal() }

// Missing tells whether there is no key.
func (s Secret) Missing() bool { return s.text == nil }

// String hides the key.
func (Secret) String() string { return hidden }

// GoString hides the key.
func (Secret) GoString() string { return hidden }

// Format hides the key, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the key.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Key is one line of client.keys.
type Key struct {
	ID      ID
	Text    string // the id as written: "7" and "007" are two lines
	Name    string // without the mark of a removed agent
	Address string // "any", an address or a network; without the mark '!'
	Secret  Secret
	Removed bool // the line is kept, the agent is gone
}

// KeyLimits bounds what ReadKeys takes in. A zero value means the default.
type KeyLimits struct {
	Keys int // lines that count, at most; 4,000,000 unless set
	Line int // bytes of one line, at most; 4096 unless set
	Bad  int // reports of bad lines, at most; 100 unless set. Further bad lines are skipped silently
}

func (l KeyLimits) withDefaults() KeyLimits {
	if l.Keys <= 0 {
		l.Keys = 4_000_000
	}
	if l.Line <= 0 {
		l.Line = 4096
	}
	if l.Bad <= 0 {
		l.Bad = 100
	}
	return l
}

var (
	// ErrTooManyKeys is returned when a file has more lines than KeyLimits.Keys.
	ErrTooManyKeys = errors.New("too many keys")

	// ErrKeyLine is in a LineError when the line has not the four parts id, name,
	// address and key.
	ErrKeyLine = errors.New("not of the form \"ID NAME ADDRESS KEY\"")

	// ErrKeyLineLong is in a LineError when the line is longer than KeyLimits.Line.
	ErrKeyLineLong = errors.New("line too long")
)

// LineError says what is wrong with a line. It never holds any of its text,
// which may be a key.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error names the line and what is wrong with it.
func (e LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with the line.
func (e LineError) Unwrap() error { return e.Err }

// ReadKeys reads the lines of client.keys (docs/enrolment.md §8) and gives each
// key to take, in the order of the file; removed agents are among them. Lines that
// begin with '#' or a blank, and empty ones, do not count. A bad line is reported
// and passed over; err is of the reader, or ErrTooManyKeys.
func ReadKeys(r io.Reader, limits KeyLimits, take func(Key)) (bad []LineError, err error) {
	limits = limits.withDefaults()
	b := bufio.NewReaderSize(r, limits.Line+2)
	for number, keys := 1, 0; ; number++ {
		line, tooLong, readErr := readLine(b)
		last := errors.Is(readErr, io.EOF)
		if readErr != nil && !last {
			return bad, readErr
		}
		key, counts, wrong := Key{}, false, ErrKeyLineLong
		if !tooLong {
			key, counts, wrong = ParseKey(line)
		}
		switch {
		case wrong != nil && len(bad) < limits.Bad:
			bad = append(bad, LineError{Line: number, Err: wrong})
		case wrong == nil && counts && keys >= limits.Keys:
			return bad, fmt.Errorf("%w: more than %d", ErrTooManyKeys, limits.Keys)
		case wrong == nil && counts:
			keys++
			take(key)
		}
		if last {
			return bad, nil
		}
	}
}

// readLine returns a line without its end. The rest of a line that does not fit
// the buffer is read and dropped.
func readLine(b *bufio.Reader) (line string, tooLong bool, err error) {
	data, err := b.ReadSlice('\n')
	line = strings.TrimRight(string(data), "\r\n")
	for errors.Is(err, bufio.ErrBufferFull) {
		tooLong = true
		_, err = b.ReadSlice('\n')
	}
	return line, tooLong, err
}

// ParseKey reads one line of client.keys, without its end. counts is false for a
// line that ReadKeys passes over; the error is of a bad one and holds none of its
// text.
func ParseKey(line string) (key Key, counts bool, err error) {
	if line == "" || line[0] == '#' || line[0] == ' ' {
		return Key{}, false, nil
	}
	var parts [4]string
	for i, rest, more := 0, line, true; i < len(parts) && more; i++ {
		parts[i], rest, more = strings.Cut(rest, " ")
	}
	if parts[1] == "" || parts[2] == "" || parts[3] == "" {
		return Key{}, false, ErrKeyLine
	}
	id, err := ParseID(parts[0])
	if err != nil {
		return Key{}, false, err
	}
	name, removed := parts[1], false
	if name[0] == '!' || name[0] == '#' {
		name, removed = name[1:], true
	}
	return Key{
		ID:      id,
		Text:    parts[0],
		Name:    name,
		Address: strings.TrimPrefix(parts[2], "!"),
		Secret:  NewSecret(parts[3]),
		Removed: removed,
	}, true, nil
}
