package keystore

import (
	"fmt"
	"io"
	"strings"
	"time"

	"testudo/internal/agent"
)

// kind says what a line of client.keys is.
type kind uint8

const (
	live    kind = iota
	removed      // the agent is gone, its line is kept
	comment      // or anything else to be kept as it is
)

// line is a line of client.keys. The parts of one that is live or removed are
// told by their ends; they begin after the blank before.
type line struct {
	text                                  string // without its end
	added                                 int64  // seconds since 1970; 0: not known
	idEnd, nameEnd, addressEnd, secretEnd uint16
	kind                                  kind
}

// Format shows nothing of a line: it has a key.
func (line) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "***") }

// parseLine reads a line; what is none is kept as a comment, with the error.
// keep is false for a line with nothing in it.
func parseLine(text string) (l line, keep bool, err error) {
	text = strings.TrimRight(text, "\r")
	if text == "" || text[0] == ' ' {
		return line{}, false, nil
	}
	if len(text) > maxLine {
		return line{text: text, kind: comment}, true, agent.ErrKeyLineLong
	}
	key, counts, err := agent.ParseKey(text)
	if err != nil || !counts {
		return line{text: text, kind: comment}, true, err
	}
	l = line{text: text, kind: live}
	end := len(key.Text) + 1 + len(key.Name)
	if key.Removed {
		l.kind = removed
		end++
	}
	l.idEnd, l.nameEnd = uint16(len(key.Text)), uint16(end)
	if end += 1 + len(key.Address); text[l.nameEnd+1] == '!' {
		end++
	}
	l.addressEnd = uint16(end)
	l.secretEnd = uint16(end + 1 + len(key.Secret.Reveal()))
	return l, true, nil
}

// newLine is the line of an entry, or of one that is removed.
func newLine(e Entry, k kind) line {
	name := e.Name
	if k == removed {
		name = "!" + name
	}
	l := line{text: e.ID + " " + name + " " + e.Address + " " + e.Secret.Reveal(), kind: k}
	if !e.Added.IsZero() {
		l.added = e.Added.Unix()
	}
	l.idEnd = uint16(len(e.ID))
	l.nameEnd = l.idEnd + 1 + uint16(len(name))
	l.addressEnd = l.nameEnd + 1 + uint16(len(e.Address))
	l.secretEnd = uint16(len(l.text))
	return l
}

// The keys of the indexes; only what is live is found.

func (l *line) id() string {
	if l.kind != live {
		return ""
	}
	return l.text[:l.idEnd]
}

func (l *line) name() string {
	if l.kind != live {
		return ""
	}
	return l.text[l.idEnd+1 : l.nameEnd]
}

func (l *line) address() string {
	return strings.TrimPrefix(l.text[l.nameEnd+1:l.addressEnd], "!")
}

func (l *line) bareAddress() string {
	if l.kind != live {
		return ""
	}
	if a := l.address(); a != anyAddress {
		return Bare(a)
	}
	return ""
}

// entry is what a line that is live says.
func (l *line) entry() Entry {
	e := Entry{ID: l.id(), Name: l.name(), Address: l.address(), Secret: agent.NewSecret(l.text[l.addressEnd+1 : l.secretEnd])}
	if l.added != 0 {
		e.Added = time.Unix(l.added, 0)
	}
	return e
}

// table is a client.keys in memory. Lines are only ever appended and do not
// change, so that who has the list may read it while it grows.
type table struct {
	lines                 []line
	ids, names, addresses index
	live                  int
	highest               int // number of an id, removed ones included
}

func newTable(size int) *table {
	return &table{
		lines:     make([]line, 0, size),
		ids:       newIndex(size, (*line).id),
		names:     newIndex(size, (*line).name),
		addresses: newIndex(0, (*line).bareAddress),
	}
}

func (t *table) add(l line) {
	t.lines = append(t.lines, l)
	t.ids.add(t.lines)
	t.names.add(t.lines)
	t.addresses.add(t.lines)
	if l.kind == live {
		t.live++
	}
	if l.kind != comment {
		t.highest = max(t.highest, number(l.text[:l.idEnd]))
	}
}

// badLine is a line that is none.
type badLine struct {
	number int // from 1
	err    error
}

// parseTable reads a whole client.keys, of which it keeps the text.
func parseTable(text string) (t *table, bad []badLine) {
	t = newTable(strings.Count(text, "\n") + 1)
	for number := 1; text != ""; number++ {
		var one string
		one, text, _ = strings.Cut(text, "\n")
		l, keep, err := parseLine(one)
		if err != nil {
			bad = append(bad, badLine{number, err})
		}
		if keep {
			t.add(l)
		}
	}
	return t, bad
}

// sameEntries tells whether two tables have the same live lines.
func (t *table) sameEntries(o *table) bool {
	if t.live != o.live {
		return false
	}
	at := 0
	for i := range t.lines {
		if t.lines[i].kind != live {
			continue
		}
		for o.lines[at].kind != live {
			at++
		}
		if t.lines[i].text != o.lines[at].text {
			return false
		}
		at++
	}
	return true
}
