package keystore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// maxTries is how often a batch is written anew when another file takes the place
// of the one written to.
const maxTries = 5

// Run is the writer. It ends with ctx or Close; operations that still wait then
// get ErrClosed, as do all later ones. It is called once.
func (s *Store) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		select {
		case <-s.closing:
			return nil
		default:
			return errors.New("key store: Run is called twice")
		}
	}
	defer s.refuse()
	defer close(s.ended)
	var looks <-chan time.Time
	if s.o.Look > 0 {
		ticker := time.NewTicker(s.o.Look)
		defer ticker.Stop()
		looks = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case <-looks:
			s.refresh(ctx)
		case o := <-s.ops:
			s.commit(ctx, s.gatherMore([]*op{o}))
		}
	}
}

// commit does the operations of a batch with one write, and answers them.
func (s *Store) commit(ctx context.Context, batch []*op) {
	batch = begin(batch)
	release, err := s.o.lock(ctx, s.root)
	if err != nil {
		if ctx.Err() != nil {
			err = ErrClosed
		}
		answer(batch, err)
		return
	}
	defer release()
	for tries := 1; len(batch) > 0; tries++ {
		var p *plan
		if p, err = s.try(batch); err == nil {
			answer(batch, nil)
			return
		}
		switch {
		case errors.Is(err, errMoved) && tries < maxTries:
		case p != nil && p.rewrites():
			// There may be room for some lines, though not for the whole file again.
			var additions []*op
			if additions, batch = divide(batch); len(additions) == 0 {
				answer(batch, err)
				return
			}
			answer(batch, err)
			batch = additions
		default:
			answer(batch, err)
			return
		}
	}
}

// divide takes those operations out of a batch that only add.
func divide(batch []*op) (additions, others []*op) {
	for _, o := range batch {
		if o.add != nil && len(o.add.Replace) == 0 {
			additions = append(additions, o)
		} else {
			others = append(others, o)
		}
	}
	return additions, others
}

// try does the operations on the table as the file is now, and writes that.
func (s *Store) try(batch []*op) (*plan, error) {
	if err := s.look(); err != nil {
		return nil, err
	}
	p := newPlan(s.t, s.highest, s.o.Now())
	for _, o := range batch {
		o.run(p, s.o.Purge)
	}
	if err := s.write(p); err != nil {
		return p, fmt.Errorf("write %s: %w", keysPath, err)
	}
	s.highest = p.highest
	return p, nil
}

// write makes a plan true, on the disk and then in memory.
func (s *Store) write(p *plan) error {
	if len(p.fresh.lines) == 0 && !p.rewrites() {
		return nil
	}
	if err := s.begin(); err != nil {
		return err
	}
	undo, err := s.o.appendTimestamps(s.root, p.fresh.lines)
	s.noteTimes(err)
	if p.rewrites() || s.file.missing || s.file.seen == nil {
		err = s.rewrite(p)
	} else {
		err = s.append(p)
	}
	if err != nil && undo != nil {
		undo()
	}
	return err
}

// begin has the mark say that we are open. A last line without its end gets it
// before: it is somebody else's, and a crash would have it taken for half of ours.
func (s *Store) begin() error {
	if s.marked {
		return nil
	}
	if err := s.file.endLine(); err != nil {
		return err
	}
	return s.writeMark(s.highest)
}

// noteTimes logs that the times of enrolment could not be written, which changes
// nothing else.
func (s *Store) noteTimes(err error) {
	if err != nil {
		s.times.Fail(s.o.Log, slog.LevelWarn, "The times of enrolment cannot be written.", slog.Any("error", err))
		return
	}
	s.times.Recovered(s.o.Log, "The times of enrolment are written again.")
}

func (s *Store) append(p *plan) error {
	size := 0
	for i := range p.fresh.lines {
		size += len(p.fresh.lines[i].text) + 1
	}
	data := make([]byte, 0, size)
	for i := range p.fresh.lines {
		data = append(append(data, p.fresh.lines[i].text...), '\n')
	}
	s.emptied.Store(false)
	if err := s.file.append(data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range p.fresh.lines {
		s.t.add(l)
	}
	return nil
}

func (s *Store) rewrite(p *plan) error {
	t := p.rewritten(s.o.Purge)
	if t.highest < p.highest {
		// The file will not show it any more.
		if err := s.writeMark(p.highest); err != nil {
			return err
		}
	}
	s.emptied.Store(t.live == 0 && !s.robbed) // before others can see the file
	if err := s.file.rewrite(t); err != nil {
		s.emptied.Store(false)
		return err
	}
	s.noteTimes(s.o.rewriteTimestamps(s.root, t))
	s.mu.Lock()
	s.t = t
	s.mu.Unlock()
	return nil
}
