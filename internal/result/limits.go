package result

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"testudo/internal/fault"
)

// Limits bound what is decoded from a peer. A zero field takes the default.
type Limits struct {
	// Bytes bounds the text; 256 MiB.
	Bytes int
	// Depth bounds the nesting of objects and lists; 64.
	Depth int
	// Items bounds the affected items; 1,048,576.
	Items int
	// Failures bounds the distinct errors among failed items; 10,000.
	Failures int
	// IDs bounds the failed ids of a result, and the ids of an error; 1,048,576.
	IDs int
}

func (l Limits) orDefault() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.Bytes, 256<<20)
	set(&l.Depth, 64)
	set(&l.Items, 1<<20)
	set(&l.Failures, 10000)
	set(&l.IDs, 1<<20)
	return l
}

// check demands that data is one JSON value in UTF-8 within the limits of size
// and depth. Nothing is decoded for it.
func (l Limits) check(data []byte) error {
	l = l.orDefault()
	if len(data) > l.Bytes {
		return undecodable("%d bytes, at most %d", len(data), l.Bytes)
	}
	if deeper(data, l.Depth) {
		return undecodable("nested deeper than %d", l.Depth)
	}
	if !utf8.Valid(data) {
		return &fault.Error{Code: fault.NotJSON, Class: fault.ClassInternal, Extra: "not UTF-8"}
	}
	if !json.Valid(data) {
		return &fault.Error{Code: fault.NotJSON, Class: fault.ClassInternal}
	}
	return nil
}

// undecodable is the error of a typed object that cannot be used: number 1000
// with the reason.
func undecodable(format string, a ...any) *fault.Error {
	return fault.New(fault.Unspecified, "result: "+fmt.Sprintf(format, a...))
}

// deeper counts brackets outside texts.
func deeper(data []byte, limit int) bool {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
