// Package why says in plain words how a node is and, when it is behind or gone,
// why, since when, what it waits for and what to do about it (docs/ctl.md §4).
//
// A master tells from what it remembers: its table of workers, those who left,
// those whom it refused, what each exchange met, and the conditions on its own
// board. A worker tells of itself, and asks its master about everybody.
package why

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"testudo/internal/fault"
	"testudo/internal/health"
	"testudo/internal/logging"
)

// Command is what Testudo nodes and their own clients ask by. The argument is
// the name of a node, or empty for all nodes.
const Command = "t_why"

// maxName bounds the argument.
const maxName = 256

// State is how a node is.
type State string

// States, from good to bad.
const (
	Well    State = "well"    // connected and in step
	Behind  State = "behind"  // connected, but something of it is not as it should be
	Gone    State = "gone"    // it was connected and is not
	Refused State = "refused" // it wants to connect and may not
	Unknown State = "unknown" // nothing is known of it
)

// Severity says how much a finding matters.
type Severity string

// Severities of findings.
const (
	Note     Severity = "note"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Finding is one thing that is so, or is wrong.
type Finding struct {
	Severity Severity   `json:"severity"`
	Text     string     `json:"text"` // one sentence
	Since    *time.Time `json:"since,omitempty"`
	Code     fault.Code `json:"error,omitempty"`     // docs/errors.md
	Waits    string     `json:"waits_for,omitempty"` // what will happen next by itself
	Remedy   string     `json:"remedy,omitempty"`    // what to do
}

// Report is what one node says about a node.
type Report struct {
	Node     string     `json:"node"`
	ToldBy   string     `json:"told_by"`
	At       time.Time  `json:"at,omitzero"` // by the clock of who tells
	State    State      `json:"state"`
	Since    *time.Time `json:"since,omitempty"` // since when it is in this state
	Summary  string     `json:"summary"`         // one sentence
	Findings []Finding  `json:"findings"`
	Known    []string   `json:"known,omitempty"` // for an unknown name: names that are known
}

// answer is what travels.
type answer struct {
	Reports []Report `json:"reports"`
}

func encode(by string, reports []Report) ([]byte, error) {
	now := time.Now().UTC()
	for i := range reports {
		if reports[i].ToldBy == by {
			reports[i].At = now
		}
	}
	text, err := json.Marshal(answer{reports})
	if err != nil {
		return nil, fmt.Errorf("write reports: %w", err)
	}
	return text, nil
}

// Parse reads an answer to Command.
func Parse(text []byte) ([]Report, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	return a.Reports, nil
}

// argument reads what was asked for.
func argument(payload []byte) (name string, err error) {
	if len(payload) > maxName {
		return "", fault.New(fault.Unspecified, fmt.Sprintf("%s: the name has more than %d bytes", Command, maxName))
	}
	return string(payload), nil
}

// add takes a finding up and lets the state follow: a warning makes a node that
// is well be behind.
func (r *Report) add(f Finding) {
	if r.State == Well && f.Severity != Note {
		r.State, r.Since = Behind, f.Since
	}
	r.Findings = append(r.Findings, f)
}

// conditions adds what is up on a board.
func (r *Report) conditions(board *health.Board, of string) {
	for _, c := range board.All() {
		severity := Warning
		if c.Severity == health.Critical {
			severity = Critical
		}
		r.add(Finding{Severity: severity, Text: of + ": " + strings.TrimSuffix(logging.Quote(c.Detail), ".") + ".", Since: when(c.Since), Remedy: sentence(c.Remedy)})
	}
}

// sorted puts the worst findings first, else as they came.
func (r Report) sorted() Report {
	rank := map[Severity]int{Critical: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return rank[a.Severity] - rank[b.Severity] })
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	return r
}

// when is a time for JSON, nil for the zero time.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// sentence begins with a capital and ends with a stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// coded is the number of an error and what to do about it.
func coded(f *fault.Error) (fault.Code, string) {
	if f == nil {
		return 0, ""
	}
	return f.Code, f.Code.Advice()
}

// times counts for people.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
