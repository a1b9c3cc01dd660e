package dapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
)

// MasterConfig is what the master's end needs.
type MasterConfig struct {
	Config
	Nodes Nodes
}

// Master is the master's end of the exchange.
type Master struct {
	*engine
	planner planner

	mu    sync.Mutex
	links map[string]*link // by node
}

// NewMaster returns the master's end over its functions, and over what it knows
// of agents.
func NewMaster(cfg MasterConfig, r *Registry, agents Agents) *Master {
	m := &Master{engine: newEngine(cfg.Config, true, r), links: make(map[string]*link)}
	m.planner = planner{own: cfg.Node, agents: agents, nodes: cfg.Nodes}
	m.spread = m.fanOut
	return m
}

// Offer implements cluster.Exchange.
func (m *Master) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	l := newLink(m.engine, s, mux)
	return func(ctx context.Context) {
		name := s.Name()
		m.mu.Lock()
		m.links[name] = l
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.links[name] == l {
			delete(m.links, name)
		}
	}
}

// link gives the exchange with a connected worker, or nil.
func (m *Master) link(node string) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[node]
}

// Ask answers a request of a program of this node (`dapi`, docs/dapi.md §5).
// The error is a *fault.Error, that of a request that could not be run, or the
// context's.
func (m *Master) Ask(ctx context.Context, client string, request []byte) ([]byte, error) {
	return kept(func(take func(...[]byte) error) error { return m.AskTo(ctx, client, request, take) })
}

// AskTo is Ask for an answer that is handed on, in one or more pieces: it counts
// as held by this node until take returns.
func (m *Master) AskTo(ctx context.Context, client string, request []byte, take func(answer ...[]byte) error) error {
	leave, err := m.gate.enter(local, len(request))
	if err != nil {
		m.cfg.Metrics.DAPIRequest("other", "busy", 0)
		return err
	}
	defer leave()
	data, release, err := m.answer(ctx, client, local, onSocket, request)
	if err != nil {
		return err
	}
	defer release()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return take(data...)
}

// AskNode has a worker answer a request (`dapi_fwd`). A worker that is not
// connected, or goes before it answers, is error 3022.
func (m *Master) AskNode(ctx context.Context, client, node string, request []byte) ([]byte, error) {
	return kept(func(take func(...[]byte) error) error { return m.AskNodeTo(ctx, client, node, request, take) })
}

// AskNodeTo is AskNode as AskTo is Ask.
func (m *Master) AskNodeTo(ctx context.Context, client, node string, request []byte, take func(answer ...[]byte) error) error {
	err := m.relay(ctx, m.link(node), client, node, request, take)
	if errors.Is(err, errGone) {
		return fault.New(fault.UnknownNode, nil)
	}
	return err
}

// kept runs one of the functions that hand their answer on, and keeps it.
func kept(ask func(take func(...[]byte) error) error) (answer []byte, err error) {
	err = ask(func(data ...[]byte) error {
		answer = session.Pieces(data).Join()
		return nil
	})
	return answer, err
}

// relay has another node answer a request of a program of this node. Neither
// is looked at.
func (e *engine) relay(ctx context.Context, l *link, client, node string, request []byte, take func(...[]byte) error) error {
	if l == nil {
		return errGone
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.Timeout, fault.New(fault.APITimeout, nil))
	defer cancel()
	seen := &Record{ID: client, From: e.cfg.Node, Began: time.Now(), Hops: []Hop{{Node: node}}}
	data, release, err := l.ask(ctx, local, request, &seen.Hops[0].ID)
	seen.Took, seen.Bytes = time.Since(seen.Began), data.Len()
	seen.Hops[0].Took = seen.Took
	how := "ok"
	if err != nil {
		how, seen.Code = "error", int(fault.From(err).Code)
		if fault.Has(err, fault.Busy) {
			how = "busy"
		}
	}
	e.recent.add(seen)
	e.cfg.Metrics.DAPIRequest("relayed", how, seen.Took.Seconds())
	if err != nil {
		return err
	}
	defer release()
	return take(data...)
}
