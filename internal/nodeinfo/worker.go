package nodeinfo

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"testudo/internal/fault"
	"testudo/internal/session"
)

// Worker is the worker's end: it asks the master.
type Worker struct {
	hashes hashes
	asking shared
	master atomic.Pointer[session.Session] // nil when not connected
}

// NewWorker returns the worker's end.
func NewWorker(cfg WorkerConfig) *Worker { return &Worker{hashes: hashes{cfg.Tree, cfg.Items}} }

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, _ *session.Mux) func(context.Context) {
	return func(ctx context.Context) {
		w.master.Store(s)
		<-ctx.Done()
		w.master.CompareAndSwap(s, nil)
	}
}

// ask gives the master's answer; its error, or that there is no master, is a
// *fault.Error.
func (w *Worker) ask(ctx context.Context, command string, argument []byte) ([]byte, error) {
	s := w.master.Load()
	if s == nil {
		return nil, fault.New(fault.NotConnected, nil)
	}
	q := question{s, command, string(argument)}
	if len(argument) > maxKept { // nobody asks the same
		return q.request(ctx)
	}
	return w.asking.ask(ctx, q)
}

// GetNodes gives the master's answer to get_nodes. The error is a *fault.Error.
func (w *Worker) GetNodes(ctx context.Context, filter []byte) ([]byte, error) {
	return w.ask(ctx, cmdNodes, filter)
}

// GetHealth gives the master's answer to get_health. The error is a *fault.Error.
func (w *Worker) GetHealth(ctx context.Context, filter []byte) ([]byte, error) {
	return w.ask(ctx, cmdHealth, filter)
}

// GetHash answers get_hash of this node.
func (w *Worker) GetHash(ctx context.Context) ([]byte, error) { return w.hashes.answer(ctx) }

// Nodes is Master.Nodes, asked of the master.
func (w *Worker) Nodes(ctx context.Context, f NodeFilter) ([]Node, int, error) {
	argument, err := f.JSON()
	if err != nil {
		return nil, 0, err
	}
	answer, err := w.GetNodes(ctx, argument)
	if err != nil {
		return nil, 0, err
	}
	return ParseNodes(answer)
}

// List is Master.List, asked of the master.
func (w *Worker) List(ctx context.Context, f NodeFilter) (items []json.RawMessage, total int, err error) {
	argument, err := f.JSON()
	if err != nil {
		return nil, 0, err
	}
	answer, err := w.GetNodes(ctx, argument)
	if err != nil {
		return nil, 0, err
	}
	var nodes struct {
		Items []json.RawMessage `json:"items"`
		Total int               `json:"totalItems"`
	}
	if err := json.Unmarshal(answer, &nodes); err != nil {
		return nil, 0, fault.Wrap(fault.NotJSON, nil, err)
	}
	return nodes.Items, nodes.Total, nil
}

// Names is Master.Names, asked of the master.
func (w *Worker) Names(ctx context.Context) ([]string, error) {
	nodes, _, err := w.Nodes(ctx, NodeFilter{Select: []string{"name"}})
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	return names, err
}

// HealthOf is Master.HealthOf, asked of the master.
func (w *Worker) HealthOf(ctx context.Context, names []string) (Health, error) {
	argument, err := json.Marshal(names)
	if err != nil {
		return Health{}, fmt.Errorf("names of nodes: %w", err)
	}
	answer, err := w.GetHealth(ctx, argument)
	if err != nil {
		return Health{}, err
	}
	return ParseHealth(answer)
}
