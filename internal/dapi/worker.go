package dapi

import (
	"context"
	"errors"
	"sync/atomic"

	"testudo/internal/fault"
	"testudo/internal/session"
)

// WorkerConfig is what a worker's end needs.
type WorkerConfig = Config

// Worker is a worker's end of the exchange.
type Worker struct {
	*engine
	master atomic.Pointer[link]
}

// NewWorker returns a worker's end over its functions.
func NewWorker(cfg WorkerConfig, r *Registry) *Worker {
	return &Worker{engine: newEngine(cfg, false, r)}
}

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	l := newLink(w.engine, s, mux)
	return func(ctx context.Context) {
		w.master.Store(l)
		<-ctx.Done()
		w.master.CompareAndSwap(l, nil)
	}
}

// Ask has the master answer a request of a program of this node. Without a
// master, or one that goes before it answers, it is error 3023.
func (w *Worker) Ask(ctx context.Context, client string, request []byte) ([]byte, error) {
	return kept(func(take func(...[]byte) error) error { return w.AskTo(ctx, client, request, take) })
}

// AskTo is Ask for an answer that is handed on, in one or more pieces: it counts
// as held by this node until take returns.
func (w *Worker) AskTo(ctx context.Context, client string, request []byte, take func(answer ...[]byte) error) error {
	err := w.relay(ctx, w.master.Load(), client, masterName, request, take)
	if errors.Is(err, errGone) {
		return fault.New(fault.NotConnected, nil)
	}
	return err
}
