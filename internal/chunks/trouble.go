package chunks

import (
	"sync"
	"time"
)

// Trouble is what has gone wrong with strings since all of one was stored.
type Trouble struct {
	Since    time.Time
	Last     time.Time
	Failures int    // strings in a row that were not stored, or not all of them
	Text     string // what the last of them met
}

// Troubles keeps the trouble of one peer. Its zero value has none.
type Troubles struct {
	mu  sync.Mutex
	now Trouble
}

// Note takes down what became of a string of n chunks.
func (t *Troubles) Note(r Result, err error, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := "not all of it was stored"
	switch {
	case err != nil:
		text = err.Error()
	case len(r.Errors) > 0:
		text = r.Errors[0]
	case r.All(n):
		t.now = Trouble{}
		return
	}
	now := time.Now()
	if t.now.Failures == 0 {
		t.now.Since = now
	}
	t.now.Last, t.now.Failures, t.now.Text = now, t.now.Failures+1, text
}

// Now is the trouble of this moment; ok is false when there is none.
func (t *Troubles) Now() (trouble Trouble, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now, t.now.Failures > 0
}
