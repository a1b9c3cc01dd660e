package keystore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how a store works.
type Options struct {
	Purge    bool // removed agents leave no line behind
	UID, GID int  // owner of files that are made; 0 or below: not given away
	Log      *slog.Logger
	NoSync   bool             // an answer does not wait for the disk
	Waiting  int              // operations that may wait; 4096 unless set
	Look     time.Duration    // how often Run looks for changes by others; 2 s unless set, below 0: never
	Now      func() time.Time // time.Now unless set
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Waiting <= 0 {
		o.Waiting = 4096
	}
	if o.Look == 0 {
		o.Look = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is the keys of a master. All methods may be called at once.
type Store struct {
	o       Options
	root    *os.Root
	ops     chan *op
	changed chan struct{}
	running atomic.Bool
	closing chan struct{}
	close   sync.Once
	ended   chan struct{} // Run is over

	mu sync.RWMutex
	t  *table // appended to and replaced by the writer only, under mu

	// Of the writer.
	highest int // number of an id that was ever given
}

// Open reads the keys of the home at root, which stays open as long as the store.
// Nothing is written before the first change.
func Open(root *os.Root, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{
		o: o, root: root, t: newTable(0),
		ops: make(chan *op, o.Waiting), changed: make(chan struct{}, 1),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	return s, nil
}

// Close ends the store: Run returns, and what still waits gets ErrClosed.
func (s *Store) Close() error {
	s.close.Do(func() { close(s.closing) })
	if s.running.Load() {
		<-s.ended
	}
	return nil
}

// Add adds an entry and returns it as it is written; it is on the disk then. The
// error is a *ConflictError when another entry is in the way, which the caller
// may not have seen when it looked; else ErrEntry, ErrNoID, ErrBusy, ErrClosed, of
// ctx, or of the disk. Once it has begun it is waited for.
func (s *Store) Add(ctx context.Context, a Addition) (Entry, error) {
	if err := a.check(); err != nil {
		return Entry{}, err
	}
	e, err := s.submit(ctx, &op{add: &a})
	if err != nil {
		return Entry{}, fmt.Errorf("add agent %q: %w", a.Name, err)
	}
	return e, nil
}

// Remove removes the entry with an id and returns what it was. purge leaves no
// line of it behind, even where Options.Purge says otherwise. The error is
// ErrUnknown, or as of Add.
func (s *Store) Remove(ctx context.Context, id string, purge bool) (Entry, error) {
	e, err := s.submit(ctx, &op{remove: id, purge: purge})
	if err != nil {
		return Entry{}, fmt.Errorf("remove agent %q: %w", id, err)
	}
	return e, nil
}

// Refresh looks whether somebody else has changed the file, and reads it if so. A
// file that is not there changes nothing: it comes back with the next change.
func (s *Store) Refresh(ctx context.Context) error {
	if _, err := s.submit(ctx, &op{refresh: true}); err != nil {
		return fmt.Errorf("look at client.keys: %w", err)
	}
	return nil
}

// Changed tells that somebody else has added or removed entries. It is for one
// reader.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// ByID returns the entry with an id, compared as text.
func (s *Store) ByID(id string) (Entry, bool) { return s.find(byID, id) }

// ByName returns the entry with a name.
func (s *Store) ByName(name string) (Entry, bool) { return s.find(byName, name) }

// ByBareAddress returns the entry whose address is so, not counting the length of
// its prefix. No entry is found by "any".
func (s *Store) ByBareAddress(bare string) (Entry, bool) { return s.find(byAddress, bare) }

func (s *Store) find(of func(*table) *index, key string) (Entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := of(s.t).find(s.t.lines, key, nil)
	if at < 0 {
		return Entry{}, false
	}
	return s.t.lines[at].entry(), true
}

// Len is the number of entries.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.t.live
}

// Each calls f with the entries in the order of the file, as they are now, until
// f returns false. f may use the store.
func (s *Store) Each(f func(Entry) bool) {
	s.mu.RLock()
	lines := s.t.lines
	s.mu.RUnlock()
	for i := range lines {
		if l := &lines[i]; l.kind == live && !f(l.entry()) {
			return
		}
	}
}

// Unclean tells that the process before ended without Close, and when the file
// was written last: who enrolled just before may not have got the answer.
func (s *Store) Unclean() (modified time.Time, unclean bool) { return time.Time{}, false }

// Run is the writer. It ends with ctx or Close; operations that still wait then
// get ErrClosed, as do all later ones. It is called once.
func (s *Store) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("key store: Run is called twice")
	}
	defer s.refuse()
	defer close(s.ended)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case o := <-s.ops:
			s.commit(s.gatherMore([]*op{o}))
		}
	}
}

func (s *Store) commit(batch []*op) {
	p := newPlan(s.t, s.highest, s.o.Now())
	for _, o := range batch {
		if !o.start() {
			continue
		}
		o.run(p, s.o.Purge)
	}
	s.mu.Lock()
	if p.rewrites() {
		s.t = p.rewritten(s.o.Purge)
	} else {
		for _, l := range p.fresh.lines {
			s.t.add(l)
		}
	}
	s.mu.Unlock()
	s.highest = p.highest
	answer(batch, nil)
}
