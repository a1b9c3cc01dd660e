package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"testudo/internal/fault"
)

// ErrSuperseded is the end of a delivery whose peer started another of the
// same kind.
var ErrSuperseded = errors.New("superseded by a newer transfer")

// Delivery is a package that the peer has announced under a task
// (docs/wire.md §10.3). There is at most one of a kind on a session: a newer
// announcement ends the older.
type Delivery struct {
	session *Session
	kind    string
	task    string
	ended   chan struct{}
	once    sync.Once
	upload  *Upload
	err     error
}

// deliveries are the open ones, by kind.
type deliveries struct {
	mu   sync.Mutex
	open map[string]*Delivery
}

// HandleDelivery registers the three commands of a package transfer, kind,
// kind_e and kind_r. Each announcement runs receive as a task of the session.
func (m *Mux) HandleDelivery(kind string, receive func(ctx context.Context, d *Delivery)) {
	m.Handle(kind, func(_ context.Context, s *Session, _ []byte) (Reply, error) {
		d := s.inbound.announce(s, kind)
		s.Go(func(ctx context.Context) {
			defer d.close()
			receive(ctx, d)
		})
		return OK(d.task), nil
	})
	m.Handle(kind+"_e", func(_ context.Context, s *Session, payload []byte) (Reply, error) {
		return s.inbound.arrive(s, kind, payload)
	})
	m.Handle(kind+"_r", func(_ context.Context, s *Session, payload []byte) (Reply, error) {
		return s.inbound.fail(s, kind, payload)
	})
}

// Session is the session the package comes on.
func (d *Delivery) Session() *Session { return d.session }

// Wait returns the package once it is whole. After limit without progress the
// peer is told to stop and the error is fault.ReceiveTimeout; the peer's own
// report of a failure comes back as a *RemoteError.
func (d *Delivery) Wait(ctx context.Context, limit time.Duration) (*Upload, error) {
	last := time.Now()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-d.ended:
			return d.upload, d.err
		case <-ctx.Done():
			return nil, d.session.endOr(ctx.Err())
		case <-timer.C:
		}
		progress := d.session.uploads.lastProgress()
		if !progress.After(last) {
			late := fault.New(fault.ReceiveTimeout, nil)
			d.cancel(ctx, late)
			return nil, late
		}
		last = progress
		timer.Reset(limit - time.Since(progress))
	}
}

// cancel tells the peer that the package is no longer waited for.
func (d *Delivery) cancel(ctx context.Context, why *fault.Error) {
	payload := append([]byte(d.task+" "), why.JSON()...)
	if _, err := d.session.RequestControl(ctx, "cancel_task", payload); err != nil {
		d.session.log.Debug("cancel_task was not taken", "error", err)
	}
}

func (d *Delivery) end(u *Upload, err error) {
	taken := false
	d.once.Do(func() {
		d.upload, d.err, taken = u, err, true
		close(d.ended)
	})
	if !taken && u != nil {
		_ = u.Close() // nobody waits for it; removed at the next start if it stays
	}
}

// close takes the delivery off the table and removes a package that arrived
// while nobody waited any more.
func (d *Delivery) close() {
	t := &d.session.inbound
	t.mu.Lock()
	if t.open[d.kind] == d {
		delete(t.open, d.kind)
	}
	t.mu.Unlock()
	d.end(nil, ErrClosed)
}

func (t *deliveries) announce(s *Session, kind string) *Delivery {
	d := &Delivery{session: s, kind: kind, task: uuid.NewString(), ended: make(chan struct{})}
	t.mu.Lock()
	older := t.open[kind]
	if t.open == nil {
		t.open = make(map[string]*Delivery)
	}
	t.open[kind] = d
	t.mu.Unlock()
	if older != nil {
		older.end(nil, ErrSuperseded)
	}
	return d
}

func (t *deliveries) find(kind string) *Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[kind]
}

// arrive answers kind_e: "TASK path".
func (t *deliveries) arrive(s *Session, kind string, payload []byte) (Reply, error) {
	task, path, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return Reply{}, errors.New("task and path expected")
	}
	d := t.find(kind)
	if d == nil || d.task != string(task) {
		s.uploads.discard(string(path))
		return Reply{}, fault.New(fault.UnknownTask, string(task))
	}
	u, err := s.uploads.take(string(path))
	if err != nil {
		d.end(nil, fmt.Errorf("take package: %w", err))
		return Reply{}, err
	}
	d.end(u, nil)
	return OK("File correctly received"), nil
}

// fail answers kind_r: "TASK-or-None error". Whatever the task, the peer has
// given up, so what waits for a package of this kind is freed.
func (t *deliveries) fail(s *Session, kind string, payload []byte) (Reply, error) {
	_, text, ok := bytes.Cut(payload, []byte{' '})
	if ok {
		ok = json.Valid(text)
	}
	remote := &RemoteError{Command: kind, Fault: fault.Parse(text)}
	if d := t.find(kind); d != nil {
		d.end(nil, remote)
	} else {
		s.log.Error("Error in synchronization process: " + remote.Error())
	}
	if !ok {
		return Reply{}, errors.New("task and error JSON expected")
	}
	return OK("Error received"), nil
}
