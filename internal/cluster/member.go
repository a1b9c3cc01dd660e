package cluster

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/session"
)

var (
	errReplaced = errors.New("replaced by a newer connection of the same worker")
	errSilent   = errors.New("no keep-alives")
)

// Member is what the master knows of a connected worker.
type Member struct {
	Name          string
	Type          string
	Version       string
	Address       string
	Connected     time.Time
	LastKeepAlive time.Time // zero before the first
	Testudo       bool
}

type member struct {
	name      string
	hello     session.Hello
	address   string
	session   *session.Session
	connected time.Time
	echoed    atomic.Int64  // unix nanoseconds of the last echo-c
	gone      chan struct{} // closed when the name is free again

	probe   sync.Mutex // one probe at a time
	probing *probe
}

// probe is one question to an old connection; newcomers of the same moment
// share its answer.
type probe struct {
	done  chan struct{}
	alive bool
}

func newMember(h session.Hello, s *session.Session) *member {
	return &member{name: h.Name, hello: h, address: hostOf(s.RemoteAddr()), session: s, connected: time.Now(), gone: make(chan struct{})}
}

func (w *member) keepAlive(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	w.echoed.Store(time.Now().UnixNano())
	return session.Reply{Command: "ok-m", Payload: payload}, nil
}

// lastHeard is the last sign of life. Any frame counts, so that a worker that
// is busy sending is not taken for dead.
func (w *member) lastHeard() time.Time { return w.session.LastHeard() }

// alive asks the worker whether it still is.
func (w *member) alive(ctx context.Context, limit time.Duration) bool {
	w.probe.Lock()
	p := w.probing
	if p == nil {
		p = &probe{done: make(chan struct{})}
		w.probing = p
		w.session.Go(func(ctx context.Context) { w.ask(ctx, p, limit) })
	}
	w.probe.Unlock()
	select {
	case <-p.done:
		return p.alive
	case <-w.session.Done():
		return false
	case <-ctx.Done():
		return true // nothing is decided while we are stopping
	}
}

func (w *member) ask(ctx context.Context, p *probe, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := w.session.RequestControl(ctx, "echo-m", []byte("keepalive"))
	var remote *session.RemoteError
	p.alive = err == nil || errors.As(err, &remote)
	w.probe.Lock()
	w.probing = nil
	w.probe.Unlock()
	close(p.done)
}

// registry is the table of connected workers.
type registry struct {
	mu     sync.Mutex
	byName map[string]*member
	order  []*member
}

// add enters a worker and returns nil, or returns the one that has its name.
func (r *registry) add(w *member) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, inUse := r.byName[w.name]; inUse {
		return old
	}
	r.byName[w.name] = w
	r.order = append(r.order, w)
	return nil
}

func (r *registry) remove(w *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[w.name] != w {
		return
	}
	delete(r.byName, w.name)
	r.order = slices.DeleteFunc(r.order, func(o *member) bool { return o == w })
	close(w.gone)
}

// removeWait waits until an ended session has left the registry.
func (r *registry) removeWait(ctx context.Context, w *member) {
	select {
	case <-w.gone:
	case <-ctx.Done():
	}
}

func (r *registry) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[name] != nil
}

func (r *registry) all() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func (r *registry) list() []Member {
	all := r.all()
	list := make([]Member, 0, len(all))
	for _, w := range all {
		m := Member{
			Name: w.name, Type: w.hello.Type, Version: w.hello.Version,
			Address: w.address, Connected: w.connected,
			Testudo: w.session.PeerIsTestudo(),
		}
		if at := w.echoed.Load(); at != 0 {
			m.LastKeepAlive = time.Unix(0, at)
		}
		list = append(list, m)
	}
	return list
}

func isOrderly(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, errReplaced) || errors.Is(err, errSilent)
}
