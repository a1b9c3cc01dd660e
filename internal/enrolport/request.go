package enrolport

import (
	"bytes"
	"strings"
)

const (
	passwordWord = "OSSEC PASS: "
	nameWord     = "OSSEC A:'"
)

// parts may follow the name.
var parts = [...]string{" V:'", " G:'", " IP:'", " K:'"}

// extent is how far a request has come.
type extent int

const (
	partial extent = iota // more is to come
	perhaps               // nothing is missing, but something might follow
	whole                 // nothing that follows would count
)

// extentOf tells whether a request is all there: its end is a newline, which
// agents send, but which the protocol does not need (docs/enrolment.md §3). The
// answer says nothing about whether a password is the right one.
func extentOf(line []byte) extent {
	if bytes.HasSuffix(line, []byte("\n")) {
		return whole
	}
	rest := string(line)
	if strings.HasPrefix(rest, passwordWord) {
		// Where the password ends is not for this function to know.
		i := strings.Index(rest, nameWord)
		if i < 0 {
			return partial
		}
		rest = rest[i:]
	}
	after, named := strings.CutPrefix(rest, nameWord)
	switch {
	case !named && (strings.HasPrefix(nameWord, rest) || strings.HasPrefix(passwordWord, rest)):
		return partial
	case !named:
		return whole // not a request
	}
	return extentOfParts(after)
}

// extentOfParts goes on within the name.
func extentOfParts(rest string) extent {
	for {
		_, tail, closed := strings.Cut(rest, "'")
		if !closed {
			return partial
		}
		if tail == "" {
			return perhaps
		}
		var follows bool
		for _, part := range parts {
			if rest, follows = strings.CutPrefix(tail, part); follows {
				break
			}
			if strings.HasPrefix(part, tail) {
				return partial
			}
		}
		if !follows {
			return whole
		}
	}
}
