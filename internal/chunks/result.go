package chunks

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/logging"
)

// Bounds of what is told of failed chunks.
const (
	maxErrors    = 100 // messages of a result
	maxErrorText = 512 // bytes of one
	maxResult    = 1 << 20
	shownErrors  = 5 // in a log line
)

// Result is what became of a string of chunks.
type Result struct {
	Chunks int      // stored
	Errors []string // of those that were not, as far as they are told
	Took   time.Duration
	String string     // id of the string; told between Testudo nodes only
	Whole  []agent.ID // agents that are wanted whole; between Testudo nodes only
}

// resultJSON is a result on the wire (docs/agentsync.md §7).
type resultJSON struct {
	Chunks  int        `json:"updated_chunks"`
	Errors  []string   `json:"error_messages"`
	Seconds float64    `json:"time_spent"`
	String  string     `json:"string,omitempty"`
	Whole   []agent.ID `json:"whole,omitempty"`
}

// JSON is the result as the original writes it.
func (r Result) JSON() []byte {
	b := fmt.Appendf(nil, `{"updated_chunks": %d, "error_messages": [`, r.Chunks)
	for i, e := range r.Errors {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendQuoted(b, []byte(e))
	}
	b = append(b, `], "time_spent": `...)
	b = strconv.AppendFloat(b, r.Took.Seconds(), 'f', -1, 64)
	if r.String != "" {
		b = append(b, `, "string": `...)
		b = appendQuoted(b, []byte(r.String))
	}
	for i, id := range r.Whole {
		if i == 0 {
			b = append(b, `, "whole": [`...)
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	if len(r.Whole) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

// ParseResult reads a peer's result.
func ParseResult(payload []byte) (Result, error) {
	if len(payload) > maxResult {
		return Result{}, fmt.Errorf("result of %d bytes", len(payload))
	}
	var in resultJSON
	if err := json.Unmarshal(payload, &in); err != nil {
		return Result{}, fmt.Errorf("result: %w", err)
	}
	in.Errors = in.Errors[:min(len(in.Errors), maxErrors)]
	return Result{
		Chunks: in.Chunks, Errors: in.Errors, Took: time.Duration(in.Seconds * float64(time.Second)), String: in.String, Whole: in.Whole,
	}, nil
}

// All says whether n chunks, and that was all of them, have been stored.
func (r Result) All(n int) bool { return r.Chunks >= n && len(r.Errors) == 0 }

// failed takes down the error of a chunk.
func (r *Result) failed(text string) {
	if len(r.Errors) < maxErrors {
		r.Errors = append(r.Errors, text[:min(len(text), maxErrorText)])
	}
}

// Line is the end of an exchange in the log, and whether it is an error.
func (r Result) Line(took time.Duration) (line string, bad bool) {
	line = fmt.Sprintf("Finished in %.3fs. Updated %d chunks.", took.Seconds(), r.Chunks)
	if len(r.Errors) == 0 {
		return line, false
	}
	shown := make([]string, 0, shownErrors+1)
	for _, e := range r.Errors[:min(len(r.Errors), shownErrors)] {
		shown = append(shown, "'"+logging.Quote(e)+"'")
	}
	if len(r.Errors) > shownErrors {
		shown = append(shown, "...")
	}
	return line + fmt.Sprintf(" There were %d chunks with errors: [%s]", len(r.Errors), strings.Join(shown, ", ")), true
}
