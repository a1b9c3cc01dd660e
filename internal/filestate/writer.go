package filestate

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// write is the writing goroutine.
func (s *Store) write(ctx context.Context) {
	defer close(s.ended)
	trouble := false // the last attempt did not succeed
	for {
		hurried, more := s.waitForWork(ctx, trouble)
		if !more {
			break
		}
		err := s.attempt(ctx, hurried)
		switch {
		case err != nil && !trouble && ctx.Err() == nil:
			s.log.Error("File states cannot be written; trying again.", slog.String("file", s.path), slog.Any("error", err))
		case err == nil && trouble:
			s.log.Info("File states are written again.", slog.String("file", s.path))
		}
		trouble = err != nil
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	s.disconnectAll()
	if err := s.attempt(grace, true); err != nil {
		s.log.Warn("The last file states were not written.", slog.String("file", s.path), slog.Any("error", err))
	}
}

// waitForWork returns when something should be written; hurried says that
// somebody waits for all of it. more is false when the store is being closed.
func (s *Store) waitForWork(ctx context.Context, trouble bool) (hurried, more bool) {
	pause := gather
	if trouble {
		pause = retryAfter
	} else {
		due, stop := s.heldDue()
		defer stop()
		select {
		case <-s.kick:
		case <-due:
			return false, true
		case <-s.hurry:
			return true, true
		case <-ctx.Done():
			return false, false
		}
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return false, true
	case <-s.hurry:
		return true, true
	case <-ctx.Done():
		return false, false
	}
}

// heldDue tells when the first picture that is held back is to be written; it
// never does while there is none.
func (s *Store) heldDue() (due <-chan time.Time, stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first time.Time
	for _, o := range s.waiting {
		if o.held && (first.IsZero() || o.since.Before(first)) {
			first = o.since
		}
	}
	if first.IsZero() {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(first.Add(s.holdBack)))
	return t.C, func() { t.Stop() }
}

// disconnectAll hands over that no node is connected any more.
func (s *Store) disconnectAll() {
	for _, k := range s.nodes {
		if k.state.Connected {
			n := k.state
			n.Connected = false
			s.order(n.Node, func(o *order) {
				if o.node == nil && !o.forget {
					o.node = &n
				}
			})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.waiting {
		if o.node != nil && o.node.Connected {
			n := *o.node
			n.Connected = false
			o.node = &n
		}
	}
}

// attempt writes what waits: all of it, or without the large pictures whose
// time has not come. What was not written waits on, unless something newer does.
// The error is one that may be gone next time.
func (s *Store) attempt(ctx context.Context, all bool) error {
	s.mu.Lock()
	batch, upTo, refused := s.waiting, s.asked, s.refused
	s.waiting, s.refused = make(map[string]*order), 0
	s.mu.Unlock()
	if refused > 0 {
		s.log.Warn("Too many nodes: file states dropped.", slog.Int("limit", s.limit), slog.Int("dropped", refused))
	}

	bad, err := s.writeBatch(ctx, batch, all)
	if needsReopening(err) {
		if err = s.reopen(ctx, err); err == nil {
			bad, err = s.writeBatch(ctx, batch, all)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	held := false
	for node, o := range batch {
		if !o.empty() {
			s.putBackLocked(node, o)
			held = held || o.held
		}
	}
	if !held {
		s.tried = upTo
	}
	s.lastErr = errors.Join(bad, err)
	close(s.turn)
	s.turn = make(chan struct{})
	return err
}

func (o *order) empty() bool { return !o.forget && o.node == nil && o.rows == nil }

// putBackLocked returns what was not written behind what came since.
func (s *Store) putBackLocked(node string, old *order) {
	newer := s.waiting[node]
	if newer == nil {
		s.waiting[node] = old
		return
	}
	if newer.forget {
		return
	}
	newer.forget = old.forget
	if newer.node == nil {
		newer.node = old.node
	}
	if newer.rows == nil {
		newer.rows, newer.held = old.rows, old.held
	}
	if old.rows != nil {
		newer.since = old.since
	}
}

// writeBatch writes orders and takes from each what has been dealt with. bad is
// about pictures that no repetition makes better; err ended the work.
func (s *Store) writeBatch(ctx context.Context, batch map[string]*order, all bool) (bad, err error) {
	names := slices.Sorted(maps.Keys(batch))
	if err := s.writeNodes(ctx, names, batch); err != nil {
		return nil, err
	}
	for _, name := range names {
		o := batch[name]
		if o.rows == nil {
			continue
		}
		young := !all && time.Since(o.since) < s.holdBack
		if young && o.held {
			continue
		}
		o.held = false
		err := s.mergePicture(ctx, name, o.rows, young)
		if errors.Is(err, errHeld) {
			o.held = true
			continue
		}
		if errors.Is(err, ErrPicture) {
			s.log.Error("File states dropped.", slog.String("node", name), slog.Any("error", err))
			bad = errors.Join(bad, err)
		} else if err != nil {
			return bad, err
		}
		o.rows = nil
	}
	return bad, nil
}
