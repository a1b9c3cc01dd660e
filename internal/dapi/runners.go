package dapi

import (
	"context"
	"sync"
	"sync/atomic"
)

// mostIdle is how many goroutines wait for another function when theirs has
// ended: the stack of a new one would have to grow first.
const mostIdle = 16

// runners runs functions. How many run at a time is the slots' business.
type runners struct {
	life context.Context
	next chan func() // for those that wait
	idle atomic.Int32
	all  sync.WaitGroup
}

func newRunners(life context.Context) *runners { return &runners{life: life, next: make(chan func())} }

// run has a goroutine run f.
func (r *runners) run(f func()) {
	select {
	case r.next <- f:
	default:
		r.all.Go(func() { r.work(f) })
	}
}

// work runs one function after the other.
func (r *runners) work(f func()) {
	for {
		f()
		if r.idle.Add(1) > mostIdle {
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
