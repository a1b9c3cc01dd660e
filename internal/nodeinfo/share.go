package nodeinfo

import (
	"context"
	"errors"
	"sync"

	"testudo/internal/fault"
	"testudo/internal/session"
)

// shared has one question of a kind on its way to the master at a time. Who asks
// the same meanwhile waits for the next one, which goes for all of them: the
// answer is never older than the question.
type shared struct {
	mu sync.Mutex
	// open has the questions on their way; with each those who wait for the next,
	// nil for nobody.
	open map[question]*waiters
}

type question struct {
	master   *session.Session
	command  string
	argument string
}

// waiters get one answer. answer and err are there when done is closed.
type waiters struct {
	done   chan struct{}
	answer []byte
	err    error
}

func (w *waiters) end(answer []byte, err error) {
	w.answer, w.err = answer, err
	close(w.done)
}

// ask gives the answer to a question, which several callers may get: it must not
// be changed. The error is a *fault.Error.
func (s *shared) ask(ctx context.Context, q question) ([]byte, error) {
	w := s.join(q)
	select {
	case <-w.done:
		return w.answer, w.err
	case <-ctx.Done():
		return nil, fault.From(context.Cause(ctx))
	}
}

// join enters a caller among those who wait for the next answer.
func (s *shared) join(q question) *waiters {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, onItsWay := s.open[q]
	if w == nil {
		w = &waiters{done: make(chan struct{})}
	}
	if s.open == nil {
		s.open = make(map[question]*waiters)
	}
	s.open[q] = w
	if !onItsWay && !q.master.Go(func(ctx context.Context) { s.work(ctx, q) }) {
		delete(s.open, q)
		w.end(nil, fault.New(fault.NotConnected, nil))
	}
	return w
}

// work asks as long as somebody waits.
func (s *shared) work(ctx context.Context, q question) {
	for {
		s.mu.Lock()
		w := s.open[q]
		if w == nil {
			delete(s.open, q)
			s.mu.Unlock()
			return
		}
		s.open[q] = nil
		s.mu.Unlock()
		w.end(q.request(ctx))
	}
}

// request asks the master.
func (q question) request(ctx context.Context) ([]byte, error) {
	answer, err := q.master.Request(ctx, q.command, []byte(q.argument))
	if errors.Is(err, session.ErrClosed) {
		return nil, fault.Wrap(fault.NotConnected, nil, err)
	}
	if err != nil {
		return nil, fault.From(err)
	}
	return answer, nil
}
