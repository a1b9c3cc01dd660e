package registrar

import (
	"container/list"
	"sync"
	"time"

	"testudo/internal/keystore"
)

const (
	// heldMost is how many registrations are held; the oldest make room.
	heldMost = 100_000
	// heldTime is how long one is held.
	heldTime = time.Hour
	// waitersOfOne and waitersMost bound who waits for what becomes of a held
	// registration: one agent comes again once, and whoever waits is in the way of
	// others.
	waitersOfOne = 2
	waitersMost  = 128
)

// held is a registration of which it is not known whether its key has reached the
// agent.
type held struct {
	entry keystore.Entry
	since time.Time
	over  chan struct{} // closed when it is not held any more

	waiters int // for what becomes of it; guarded by holding.mu
}

// holding is the registrations that are held, by id.
type holding struct {
	limit int
	now   func() time.Time

	mu    sync.Mutex
	order list.List // of *held, the oldest first
	byID  map[string]*list.Element

	waiters int
}

func newHolding(limit int) *holding {
	return &holding{limit: limit, now: time.Now, byID: make(map[string]*list.Element)}
}

// hold begins to hold a registration.
func (h *holding) hold(entry keystore.Entry, since time.Time) {
	one := &held{entry: entry, since: since, over: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked(h.byID[entry.ID])
	h.expireLocked()
	for h.order.Len() >= h.limit {
		h.endLocked(h.order.Front())
	}
	h.byID[entry.ID] = h.order.PushBack(one)
}

// of is the held registration of an entry, nil when there is none.
func (h *holding) of(entry keystore.Entry) *held {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireLocked()
	if e := h.byID[entry.ID]; e != nil {
		if one := e.Value.(*held); one.entry.Secret.Equal(entry.Secret) {
			return one
		}
	}
	return nil
}

// end says that an entry is not held any more: its key has arrived, or it is gone.
func (h *holding) end(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked(h.byID[id])
}

// mayWait counts somebody who waits for what becomes of a registration, unless
// there are enough.
func (h *holding) mayWait(one *held) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if one.waiters >= waitersOfOne || h.waiters >= waitersMost {
		return false
	}
	one.waiters++
	h.waiters++
	return true
}

// waited ends what mayWait has begun.
func (h *holding) waited(one *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one.waiters--
	h.waiters--
}

func (h *holding) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireLocked()
	return h.order.Len()
}

// left is what is held, the oldest first.
func (h *holding) left() (list []leftHeld) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireLocked()
	for e := h.order.Front(); e != nil; e = e.Next() {
		one := e.Value.(*held)
		list = append(list, leftHeld{one.entry.ID, one.since})
	}
	return list
}

func (h *holding) expireLocked() {
	for e := h.order.Front(); e != nil && h.now().Sub(e.Value.(*held).since) >= heldTime; e = h.order.Front() {
		h.endLocked(e)
	}
}

func (h *holding) endLocked(e *list.Element) {
	if e == nil {
		return
	}
	one := h.order.Remove(e).(*held)
	delete(h.byID, one.entry.ID)
	close(one.over)
}
