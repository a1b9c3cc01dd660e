// Package runners runs functions in goroutines that serve again: a new one would
// have to grow its stack first, which is dear where functions are short and many.
package runners

import (
	"context"
	"sync"
	"sync/atomic"
)

// Runners run functions. How many run at a time is the caller's business.
type Runners struct {
	life context.Context
	next chan func() // for those that wait
	most int32
	idle atomic.Int32
	all  sync.WaitGroup
}

// New makes runners of which at most idle wait for another function when theirs
// has ended, and none once life has ended.
func New(life context.Context, idle int) *Runners {
	return &Runners{life: life, next: make(chan func()), most: int32(idle)}
}

// Go has a goroutine run f, at once.
func (r *Runners) Go(f func()) {
	select {
	case r.next <- f:
	default:
		r.all.Go(func() { r.work(f) })
	}
}

// work runs one function after the other.
func (r *Runners) work(f func()) {
	for {
		f()
		if r.idle.Add(1) > r.most {
			r.idle.Add(-1)
			return
		}
		select {
		case f = <-r.next:
			r.idle.Add(-1)
		case <-r.life.Done():
			return
		}
	}
}

// Wait waits until no function runs and nobody waits for one. It returns only
// after the end of the life that New was given.
func (r *Runners) Wait() { r.all.Wait() }
