package registrar

import (
	"context"
	"slices"
	"sync"
)

// locks are locks with names, of which there are as many as are asked for at the
// time.
type locks struct {
	mu    sync.Mutex
	named map[string]*lock
}

type lock struct {
	token chan struct{} // holds one while nobody has the lock
	users int           // that have it or wait; guarded by locks.mu
}

// take waits for all of the names at once. The error is that of ctx; without one
// release gives them back.
func (l *locks) take(ctx context.Context, names ...string) (release func(), err error) {
	slices.Sort(names) // everybody in the same order
	names = slices.Compact(names)
	taken := make([]*lock, 0, len(names))
	release = func() {
		for i, one := range taken {
			one.token <- struct{}{}
			l.leave(names[i], one)
		}
	}
	for _, name := range names {
		one := l.enter(name)
		select {
		case <-one.token:
			taken = append(taken, one)
		case <-ctx.Done():
			l.leave(name, one)
			release()
			return nil, context.Cause(ctx)
		}
	}
	return release, nil
}

func (l *locks) enter(name string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.named[name]
	if one == nil {
		one = &lock{token: make(chan struct{}, 1)}
		one.token <- struct{}{}
		if l.named == nil {
			l.named = make(map[string]*lock)
		}
		l.named[name] = one
	}
	one.users++
	return one
}

func (l *locks) leave(name string, one *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(l.named, name)
	}
}
