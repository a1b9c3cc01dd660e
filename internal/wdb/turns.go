package wdb

import (
	"context"
	"sync"
	"time"

	"testudo/internal/unixsock"
)

// turns bounds how many requests of a kind are under way at a time: in all, and of
// one process, so that one that asks for endless work leaves room for the others.
type turns struct {
	all   chan struct{} // a token for each request
	share int
	peer  func(context.Context) int32 // the process that asks; 0 is not known and has no bound of its own

	mu    sync.Mutex
	peers map[int32]*share
}

// share is what one process has of the turns.
type share struct {
	held  chan struct{} // a token for each request
	users int           // that hold a token or wait for one
}

// newTurns leaves a quarter of the turns, and one at least, to others than the
// process that has most.
func newTurns(most int) *turns {
	return &turns{
		all: make(chan struct{}, most), share: max(most-max(most/4, 1), 1), peer: process, peers: make(map[int32]*share),
	}
}

func process(ctx context.Context) int32 {
	if conn := unixsock.ConnOf(ctx); conn != nil {
		if who, err := conn.Peer(); err == nil {
			return who.PID
		}
	}
	return 0
}

// take waits for a turn, which release ends; where within is not 0, no longer than
// that in each of two queues. The error is why none came.
func (t *turns) take(ctx context.Context, within time.Duration) (release func(), err error) {
	own := func() {}
	if pid := t.peer(ctx); pid != 0 {
		if own, err = t.takeOwn(ctx, pid, within); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, t.all, within); err != nil {
		own()
		return nil, err
	}
	return func() {
		<-t.all
		own()
	}, nil
}

// takeOwn waits for a turn among those of the same process.
func (t *turns) takeOwn(ctx context.Context, pid int32, within time.Duration) (release func(), err error) {
	t.mu.Lock()
	p := t.peers[pid]
	if p == nil {
		p = &share{held: make(chan struct{}, t.share)}
		t.peers[pid] = p
	}
	p.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(t.peers, pid)
		}
	}
	if err := wait(ctx, p.held, within); err != nil {
		leave()
		return nil, err
	}
	return func() {
		<-p.held
		leave()
	}, nil
}

// wait waits until there is room for a token.
func wait(ctx context.Context, tokens chan<- struct{}, within time.Duration) error {
	select {
	case tokens <- struct{}{}:
		return nil
	default:
	}
	if within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
