package enrolport

import (
	"container/list"
	"sync"
)

// room is the connections that are open. While a connection waits for its peer it
// may be closed to make room for another: first the one that has been silent for
// longest.
type room struct {
	limit int
	watch func(open int)

	mu       sync.Mutex
	open     map[*conn]struct{}
	waiting  *list.List // of *conn: the most silent one first
	stopping bool
}

func newRoom(limit int, watch func(open int)) *room {
	return &room{limit: limit, watch: watch, open: make(map[*conn]struct{}), waiting: list.New()}
}

func (r *room) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// enter takes c in, as one that waits for its peer. Without room and without
// anybody who could go, ok is false.
func (r *room) enter(c *conn) (evicted, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return false, false
	}
	if len(r.open) >= r.limit {
		oldest := r.waiting.Front()
		if oldest == nil {
			return false, false
		}
		gone := oldest.Value.(*conn)
		r.forgetLocked(gone)
		gone.cut()
		evicted = true
	}
	r.open[c] = struct{}{}
	c.place = r.waiting.PushBack(c)
	r.watch(len(r.open))
	return evicted, true
}

// heard notes that something came from c's peer, or that it waits for it again.
func (r *room) heard(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.open[c]; !here {
		return
	}
	if c.place != nil {
		r.waiting.MoveToBack(c.place)
		return
	}
	c.place = r.waiting.PushBack(c)
	if r.stopping {
		c.cut()
	}
}

// busy notes that it is not c's peer who is waited for. It is false when c has
// been cut off.
func (r *room) busy(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.open[c]; !here || r.stopping {
		return false
	}
	r.waiting.Remove(c.place)
	c.place = nil
	return true
}

// leave forgets c.
func (r *room) leave(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(c)
}

func (r *room) forgetLocked(c *conn) {
	if _, here := r.open[c]; !here {
		return
	}
	delete(r.open, c)
	if c.place != nil {
		r.waiting.Remove(c.place)
		c.place = nil
	}
	r.watch(len(r.open))
}

// stop closes all connections that wait for their peers, those to come as well.
func (r *room) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	for e := r.waiting.Front(); e != nil; e = e.Next() {
		e.Value.(*conn).cut()
	}
}

// cut closes all connections.
func (r *room) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.cut()
	}
}
