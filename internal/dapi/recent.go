package dapi

import (
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
	Code     int // number of the error, 0 for a result
	Bytes    int // of the answer
	Gone     bool
	Hops     []Hop // other nodes that were asked for it
}

// Hop is a node that was asked for a request.
type Hop struct {
	Node string
	ID   string // of the request there
	Took time.Duration
	Code int
}

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
