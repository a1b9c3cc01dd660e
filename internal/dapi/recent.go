package dapi

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// Record is what a node remembers of a request that it answered or sent on. It
// holds neither arguments nor answers.
type Record struct {
	ID       string // as its asker calls it
	Function string // empty for one that was sent on without a look
	From     string // the node that asked; our own for its programs
	Began    time.Time
	Took     time.Duration
	Code     int  // number of the error, 0 for a result
	Bytes    int  // of the answer
	Gone     bool // the asker went before it came
	Hops     []Hop
}

// Hop is a node that was asked for a request, or for a part of it.
type Hop struct {
	Node string
	ID   string // of the request there; empty for the node itself
	Took time.Duration
	Code int
}

type recordJSON struct {
	ID       string    `json:"id"`
	Function string    `json:"function,omitempty"`
	From     string    `json:"from"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Code     int       `json:"error,omitempty"`
	Bytes    int       `json:"bytes"`
	Gone     bool      `json:"asker_gone,omitempty"`
	Hops     []Hop     `json:"nodes,omitempty"`
}

// MarshalJSON writes the record as /status shows it.
func (r Record) MarshalJSON() ([]byte, error) {
	return json.Marshal(recordJSON{r.ID, r.Function, r.From, r.Began, r.Took.Seconds(), r.Code, r.Bytes, r.Gone, r.Hops})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Record) UnmarshalJSON(data []byte) error {
	var in recordJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*r = Record{in.ID, in.Function, in.From, in.Began, seconds(in.Seconds), in.Code, in.Bytes, in.Gone, in.Hops}
	return nil
}

type hopJSON struct {
	Node    string  `json:"node"`
	ID      string  `json:"id,omitempty"`
	Seconds float64 `json:"seconds"`
	Code    int     `json:"error,omitempty"`
}

// MarshalJSON writes the hop as /status shows it.
func (h Hop) MarshalJSON() ([]byte, error) {
	return json.Marshal(hopJSON{h.Node, h.ID, h.Took.Seconds(), h.Code})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (h *Hop) UnmarshalJSON(data []byte) error {
	var in hopJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*h = Hop{in.Node, in.ID, seconds(in.Seconds), in.Code}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// records is how many records a node keeps.
const records = 64

// ring keeps the last records.
type ring struct {
	mu   sync.Mutex
	list []*Record
	next int
}

func (r *ring) add(rec *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) < records {
		r.list = append(r.list, rec)
		return
	}
	r.list[r.next] = rec
	r.next = (r.next + 1) % records
}

// last lists the records, the newest first.
func (r *ring) last() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Record, 0, len(r.list))
	for i := range r.list {
		rec := *r.list[(r.next+i)%len(r.list)]
		rec.Hops = slices.Clone(rec.Hops)
		list = append(list, rec)
	}
	slices.Reverse(list)
	return list
}

// Status is how busy an end is, and what it did last.
type Status struct {
	Running     int      `json:"running"`      // functions
	Waiting     int      `json:"waiting"`      // requests whose function has not begun
	Open        int      `json:"open"`         // requests in all, with those that wait for other nodes or are being answered
	AnswerBytes int64    `json:"answer_bytes"` // of the answers held
	Last        []Record `json:"last"`         // the newest first
}

// Status tells how busy this end is.
func (e *engine) Status() Status {
	s := Status{Last: e.recent.last()}
	e.slots.mu.Lock()
	s.Running, s.Waiting = e.slots.running, e.slots.waiting
	e.slots.mu.Unlock()
	e.gate.mu.Lock()
	s.Open = e.gate.total.requests
	e.gate.mu.Unlock()
	e.answers.mu.Lock()
	s.AnswerBytes = e.answers.held
	e.answers.mu.Unlock()
	return s
}
