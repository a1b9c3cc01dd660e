package enrolport

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"testudo/internal/enrolment"
)

const (
	// settleTime is how long a request that lacks only its newline is waited for.
	settleTime = 100 * time.Millisecond
	// firstRead is the room for a request at first, in bytes.
	firstRead = 1024
)

// errNothing is returned when no request came.
var errNothing = errors.New("no request came")

// readRequest reads one request before end. Pieces of it are put together as long
// as time lasts; then what is there has to do. until bounds the reads to come,
// heard is told of each piece.
func readRequest(in io.Reader, end time.Time, until func(time.Time) error, heard func()) ([]byte, error) {
	if err := until(end); err != nil {
		return nil, err
	}
	line := make([]byte, 0, firstRead)
	for {
		if len(line) == cap(line) {
			larger := make([]byte, len(line), min(4*cap(line), enrolment.MaxLine))
			copy(larger, line)
			line = larger
		}
		n, err := in.Read(line[len(line):cap(line)])
		line = line[:len(line)+n]
		if err != nil {
			return line, readEnded(len(line), err)
		}
		heard()
		switch reached := extentOf(line); {
		case reached == whole, len(line) == enrolment.MaxLine:
			return line, nil
		case reached == perhaps:
			err = until(earlier(end, time.Now().Add(settleTime)))
		default:
			err = until(end)
		}
		if err != nil {
			return nil, err
		}
	}
}

// readEnded tells what an error means after n bytes of a request.
func readEnded(n int, err error) error {
	switch {
	case !isTimeout(err) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case n == 0:
		return errNothing
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

const (
	passwordWord = "OSSEC PASS: " //nolint:gosec // what stands before one
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
