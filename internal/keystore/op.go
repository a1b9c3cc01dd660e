package keystore

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
)

// op is one operation on its way through the writer.
type op struct {
	add     *Addition
	remove  string // an id, when add is nil
	only    *Entry // if set, what the id must belong to
	purge   bool
	refresh bool // instead: only look at the file

	state  atomic.Int32 // opWaiting and so on
	result Entry
	err    error
	done   chan struct{} // closed when result and err are final
}

const (
	opWaiting   int32 = iota // nobody has begun it
	opStarted                // the writer has
	opAbandoned              // its caller gave up before
)

// start claims the operation for the writer; false when its caller gave up.
func (o *op) start() bool { return o.state.CompareAndSwap(opWaiting, opStarted) }

// begin claims the operations of a batch and leaves out those that were given up.
func begin(batch []*op) []*op {
	return slices.DeleteFunc(batch, func(o *op) bool { return !o.start() })
}

// run does it on a plan. It may be repeated on another one, of a file that may
// have come to hold what the first one made.
func (o *op) run(p *plan, purge bool) {
	done := o.result
	o.result, o.err = Entry{}, nil
	switch {
	case o.add != nil && p.holds(done):
		o.result = done
	case o.refresh:
	case o.add != nil:
		o.result, o.err = p.add(o.add, purge)
	case o.only != nil && !p.holds(*o.only):
		o.err = ErrUnknown
	default:
		o.result, o.err = p.remove(o.remove, purge || o.purge)
	}
}

// submit hands an operation to the writer and waits for its end.
func (s *Store) submit(ctx context.Context, o *op) (Entry, error) {
	o.done = make(chan struct{})
	if ctx.Err() != nil {
		return Entry{}, context.Cause(ctx)
	}
	select {
	case <-s.ended:
		return Entry{}, ErrClosed
	case <-s.closing:
		return Entry{}, ErrClosed
	default:
	}
	select {
	case s.ops <- o:
	default:
		return Entry{}, ErrBusy
	}
	select {
	case <-o.done:
		return o.result, o.err
	case <-ctx.Done():
		if o.state.CompareAndSwap(opWaiting, opAbandoned) {
			return Entry{}, context.Cause(ctx)
		}
	case <-s.ended:
		if o.state.CompareAndSwap(opWaiting, opAbandoned) {
			return Entry{}, ErrClosed // put in the queue behind the writer's back
		}
	}
	<-o.done // what was begun is answered
	return o.result, o.err
}

// gatherMore takes what waits, after those that are about to add something had a
// turn: the fewer writes, the less each operation costs.
func (s *Store) gatherMore(batch []*op) []*op {
	for {
		before := len(batch)
		runtime.Gosched()
		if batch = s.gather(batch); len(batch) == before || len(batch) >= s.o.Waiting {
			return batch
		}
	}
}

// gather takes what waits.
func (s *Store) gather(batch []*op) []*op {
	for len(batch) < s.o.Waiting {
		select {
		case o := <-s.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// refuse answers what waits when the writer ends.
func (s *Store) refuse() {
	for _, o := range s.gather(nil) {
		if o.start() {
			o.err = ErrClosed
			close(o.done)
		}
	}
}

// answer tells the callers of a batch how it went; err, if any, is what they all
// get that have no error of their own.
func answer(batch []*op, err error) {
	for _, o := range batch {
		if o.err == nil && err != nil {
			o.result, o.err = Entry{}, err
		}
		close(o.done)
	}
}
