package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"testudo/internal/fault"
	"testudo/internal/logging"
)

// ErrSuperseded is the end of a delivery whose peer started another of the
// same kind.
var ErrSuperseded = errors.New("superseded by a newer transfer")

// Delivery is a package that the peer has announced under a task
// (docs/wire.md §10.3). Of each kind a session has at most one that is being
// worked on and one that comes after it: a newer announcement ends those that
// still wait for their package.
type Delivery struct {
	session *Session
	kind    string
	task    string
	begun   uint64        // uploads before the announcement
	settled chan struct{} // closed when upload and err are what they will be

	// guarded by deliveries.mu
	upload *Upload
	err    error
}

// deliveries are the open ones, by kind.
type deliveries struct {
	mu   sync.Mutex // taken before that of the uploads
	open map[string]*turns
}

// turns are the deliveries of one kind: one goroutine takes them in turn.
type turns struct{ now, next *Delivery }

// HandleDelivery registers the three commands of a package transfer, kind,
// kind_e and kind_r. Each announcement runs receive as a task of the session,
// after that of the announcement before; an announcement that is superseded
// before its turn runs none.
func (m *Mux) HandleDelivery(kind string, receive func(ctx context.Context, d *Delivery)) {
	m.Handle(kind, func(_ context.Context, s *Session, _ []byte) (Reply, error) {
		d, first := s.inbound.announce(s, kind)
		if first && !s.Go(func(ctx context.Context) { s.inbound.takeTurns(ctx, d, receive) }) {
			return Reply{}, ErrClosed
		}
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

// Wait returns the package once it is whole; it is then the caller's to close.
// After limit without progress the peer is told to stop and the error is
// fault.ReceiveTimeout; the peer's own report of a failure comes back as a
// *RemoteError, and ErrSuperseded says that the peer has begun anew. It is
// called once.
func (d *Delivery) Wait(ctx context.Context, limit time.Duration) (*Upload, error) {
	last := time.Now()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-d.settled:
			return d.claim(nil)
		case <-ctx.Done():
			return d.claim(d.session.endOr(ctx.Err()))
		case <-timer.C:
		}
		progress := d.session.uploads.lastProgress()
		if !progress.After(last) {
			return d.giveUp(ctx)
		}
		last = progress
		timer.Reset(limit - time.Since(progress))
	}
}

// giveUp ends a delivery that made no progress and tells the peer, whose later
// announcement that the package is whole then finds no task.
func (d *Delivery) giveUp(ctx context.Context) (*Upload, error) {
	late := fault.New(fault.ReceiveTimeout, nil)
	u, err := d.claim(late)
	if !errors.Is(err, late) {
		return u, err // it came in the last moment
	}
	payload := append([]byte(d.task+" "), late.JSON()...)
	if _, err := d.session.RequestControl(ctx, "cancel_task", payload); err != nil {
		d.session.log.Debug("cancel_task was not taken", "error", err)
	}
	return nil, late
}

// claim takes what the delivery has come to; when that is nothing yet, it
// comes to otherwise.
func (d *Delivery) claim(otherwise error) (*Upload, error) {
	t := &d.session.inbound
	t.mu.Lock()
	defer t.mu.Unlock()
	d.settleLocked(nil, otherwise)
	u := d.upload
	d.upload = nil
	return u, d.err
}

// settleLocked decides what the delivery has come to; the first decision
// counts.
func (d *Delivery) settleLocked(u *Upload, err error) {
	select {
	case <-d.settled:
	default:
		d.upload, d.err = u, err
		close(d.settled)
	}
}

// dropLocked ends a delivery and removes a package that nobody has claimed.
func (d *Delivery) dropLocked(err error) {
	d.settleLocked(nil, err)
	if d.upload != nil {
		_ = d.upload.Close() // what stays is removed at the next start
		d.upload = nil
	}
}

// announce enters a delivery. It says whether it is the first of its kind, for
// which a goroutine is to be started.
func (t *deliveries) announce(s *Session, kind string) (d *Delivery, first bool) {
	d = &Delivery{session: s, kind: kind, task: uuid.NewString(), begun: s.uploads.count(), settled: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[string]*turns)
	}
	k := t.open[kind]
	if k == nil {
		t.open[kind] = &turns{now: d}
		return d, true
	}
	k.now.settleLocked(nil, ErrSuperseded)
	if k.next != nil {
		k.next.dropLocked(ErrSuperseded)
	}
	k.next = d
	return d, false
}

// takeTurns works on one delivery after the other.
func (t *deliveries) takeTurns(ctx context.Context, d *Delivery, receive func(context.Context, *Delivery)) {
	for d != nil {
		receive(ctx, d)
		d = t.after(d)
	}
}

// after ends a delivery and returns the one whose turn it is, or nil.
func (t *deliveries) after(d *Delivery) *Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.dropLocked(ErrClosed)
	k := t.open[d.kind]
	k.now, k.next = k.next, nil
	if k.now == nil {
		delete(t.open, d.kind)
	}
	return k.now
}

// waitingLocked gives the deliveries of a kind that wait for their package.
func (t *deliveries) waitingLocked(kind string) (waiting []*Delivery) {
	k := t.open[kind]
	if k == nil {
		return nil
	}
	for _, d := range []*Delivery{k.now, k.next} {
		if d == nil {
			continue
		}
		select {
		case <-d.settled:
		default:
			waiting = append(waiting, d)
		}
	}
	return waiting
}

// arrive answers kind_e: "TASK path".
func (t *deliveries) arrive(s *Session, kind string, payload []byte) (Reply, error) {
	task, path, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return Reply{}, errors.New("task and path expected")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.waitingLocked(kind) {
		if d.task != string(task) {
			continue
		}
		u, err := s.uploads.take(string(path))
		if err != nil {
			d.settleLocked(nil, fmt.Errorf("take package: %w", err))
			return Reply{}, err
		}
		d.settleLocked(u, nil)
		return OK("File correctly received"), nil
	}
	s.uploads.discard(string(path))
	return Reply{}, fault.New(fault.UnknownTask, string(task[:min(len(task), maxTask)]))
}

// fail answers kind_r: "TASK-or-None error". Whatever the task, the peer has
// given up, so what waits for a package of this kind is freed.
func (t *deliveries) fail(s *Session, kind string, payload []byte) (Reply, error) {
	_, text, ok := bytes.Cut(payload, []byte{' '})
	remote := &RemoteError{Command: kind, Fault: fault.Parse(text)}
	t.mu.Lock()
	waiting := t.waitingLocked(kind)
	for _, d := range waiting {
		d.settleLocked(nil, remote)
	}
	t.mu.Unlock()
	if len(waiting) == 0 {
		s.refusals.Log(s.log, slog.LevelError, "Error in synchronization process: "+logging.Quote(remote.Error()))
	}
	if !ok || !json.Valid(text) {
		return Reply{}, errors.New("task and error JSON expected")
	}
	return OK("Error received"), nil
}
