// Package keyhistory judges enrolment by what its clients saw. A History holds who
// asked for a key or for an agent's removal, when, and what came of it; Check puts
// beside it what the nodes have in the end, and tells what cannot be: an id given
// twice, a key that was answered and is lost, an agent that is shut out, nodes that
// differ. It knows the promises (docs/enrolment.md, docs/extensions.md) and nothing
// of the programs that keep them.
package keyhistory

import (
	"math"
	"strings"
	"sync"
	"time"
)

// Instant is a place in the order of what clients saw: what ended at a lower one
// was over before what began at a higher one.
type Instant int64

// never is after everything: what had no answer may still come to pass.
const never Instant = math.MaxInt64

// Outcome is what a client knows of what became of its request.
type Outcome int

const (
	// Unknown is no answer, or one that says nothing: it may have been done or not,
	// or be done still.
	Unknown Outcome = iota
	// Done is an answer that promises it.
	Done
	// Refused is an answer that says that nothing was done, and never will be.
	Refused
)

// Span is when something happened.
type Span struct {
	Start, End Instant
	Began      time.Time
	Over       time.Time
}

// before says that a span was over when the other began.
func (s Span) before(o Span) bool { return s.End < o.Start }

// Entry is an agent with its key, as in client.keys.
type Entry struct{ ID, Name, Address, Key string }

// Registration is one request for a key.
type Registration struct {
	Span
	Agent   string // who asks: all attempts of one agent have the same
	Node    string // who is asked; "" when not known, as behind a load balancer
	Name    string
	Address string // as client.keys will have it, without length; "any"
	Forced  bool   // may take the place of any agent, as the rules of replacement are
	Broken  bool   // the client itself went away in the middle
	Outcome Outcome
	Entry   Entry // when done
	Text    string
}

// Removal is one request to remove an agent.
type Removal struct {
	Span
	ID      string
	Purge   bool
	Outcome Outcome
}

// Disturbance is a time in which a node, or its way to the master, was out of order.
type Disturbance struct {
	Span
	Node string
}

// History is what clients saw. Its methods may be called from any goroutine.
type History struct {
	// Master is the name of the master in Registration.Node and Disturbance.Node.
	Master string
	// Initial are the agents that were there before.
	Initial []Entry
	// KeepsRemoved says that removed agents stay in client.keys unless purged.
	KeepsRemoved bool
	// Grace is how long after an answer of a worker the master may not have heard
	// that the agent has its key. Until then another may take its place.
	Grace time.Duration

	mu            sync.Mutex
	now           Instant
	registrations []*Registration
	removals      []*Removal
	disturbances  []*Disturbance
}

func (h *History) start(s *Span) {
	h.now++
	s.Start, s.End, s.Began = h.now, never, time.Now()
}

func (h *History) end(s *Span) {
	h.now++
	s.End, s.Over = h.now, time.Now()
}

// Ask begins a registration; the returned one is to be given to Answer.
func (h *History) Ask(r Registration) *Registration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Address == "" {
		r.Address = anyAddress
	}
	h.start(&r.Span)
	h.registrations = append(h.registrations, &r)
	return &r
}

// Answer ends a registration with what the port answered; "" for nothing.
func (h *History) Answer(r *Registration, answer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(&r.Span)
	r.Outcome, r.Entry, r.Text = ReadAnswer(answer)
}

// AnswerAs ends a registration that was not made at the port.
func (h *History) AnswerAs(r *Registration, o Outcome, e Entry, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(&r.Span)
	r.Outcome, r.Entry, r.Text = o, e, text
}

// Remove begins a removal; the returned one is to be given to Removed.
func (h *History) Remove(id string, purge bool) *Removal {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Removal{ID: id, Purge: purge}
	h.start(&r.Span)
	h.removals = append(h.removals, r)
	return r
}

// Removed ends a removal.
func (h *History) Removed(r *Removal, o Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(&r.Span)
	r.Outcome = o
}

// Disturb begins a time in which a node is out of order; the result ends it.
func (h *History) Disturb(node string) (over func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &Disturbance{Node: node}
	h.start(&d.Span)
	h.disturbances = append(h.disturbances, d)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.end(&d.Span)
	}
}

// Counts is how many registrations ended in which way.
type Counts struct{ Done, Refused, Unknown, Removals, Disturbances int }

// Count counts what there is so far.
func (h *History) Count() (c Counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.registrations {
		switch r.Outcome {
		case Done:
			c.Done++
		case Refused:
			c.Refused++
		case Unknown:
			c.Unknown++
		}
	}
	c.Removals, c.Disturbances = len(h.removals), len(h.disturbances)
	return c
}

const (
	anyAddress   = "any"
	acceptPrefix = "OSSEC K:'"
	errorPrefix  = "ERROR: "
)

// ReadAnswer reads what the port wrote, all of it. A text that speaks of the way to
// the master, or of the node itself, leaves open what became of the request.
func ReadAnswer(answer string) (Outcome, Entry, string) {
	if quoted, ok := strings.CutPrefix(answer, acceptPrefix); ok {
		line, _, whole := strings.Cut(quoted, "'")
		if e, ok := readLine(line); whole && ok {
			return Done, e, ""
		}
		return Unknown, Entry{}, "cut answer"
	}
	text, ok := strings.CutPrefix(answer, errorPrefix)
	text, _, _ = strings.Cut(text, errorPrefix)
	for _, sure := range []string{"Duplicate ", "Invalid agent name", "Invalid group", "Invalid Group", "Invalid IP", "Invalid password", "Invalid request", "Agent version"} {
		if ok && strings.HasPrefix(text, sure) {
			return Refused, Entry{}, text
		}
	}
	return Unknown, Entry{}, text
}

// readLine reads "ID NAME ADDRESS KEY".
func readLine(line string) (Entry, bool) {
	part := strings.Split(line, " ")
	if len(part) != 4 || part[0] == "" || part[1] == "" || part[2] == "" || part[3] == "" {
		return Entry{}, false
	}
	return Entry{ID: part[0], Name: part[1], Address: part[2], Key: part[3]}, true
}
