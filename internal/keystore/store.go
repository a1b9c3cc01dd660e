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

	"testudo/internal/logging"
)

// Options says how a store works.
type Options struct {
	Purge    bool // removed agents leave no line behind
	UID, GID int  // owner of files that are made; 0 or below: not given away
	Log      *slog.Logger
	Brief    bool             // it does not look after a crash before, see Unclean: the next store does
	NoSync   bool             // an answer does not wait for the disk
	Waiting  int              // operations that may wait; 16,384 unless set
	Look     time.Duration    // how often Run looks for changes by others; 2 s unless set, below 0: never
	Now      func() time.Time // time.Now unless set
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Waiting <= 0 {
		o.Waiting = 16_384
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
	o         Options
	root      *os.Root
	ops       chan *op
	changed   chan struct{}
	running   atomic.Bool
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	ended     chan struct{} // Run is over
	emptied   atomic.Bool   // the last agent was removed by us
	unclean   bool
	modified  time.Time // of the file, when the store was opened

	mu sync.RWMutex
	t  *table // appended to and replaced by the writer only, under mu

	// Of the writer, once the store is open.
	file     keysFile
	presence presence
	marked   bool // the mark on the disk says that we are open
	highest  int  // number of an id that was ever given
	noted    int  // the highest that the mark has
	badLines string
	robbed   bool              // somebody else has emptied the file
	missing  logging.Recurring // the file is not there
	times    logging.Recurring // times of enrolment cannot be written
	looks    logging.Recurring // the file cannot be looked at
}

// Open reads the keys of the home at root, which stays open as long as the store.
// It writes nothing but what a crash left: half a last line is cut off.
func Open(root *os.Root, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{
		o: o, root: root, file: keysFile{root: root, o: o},
		ops: make(chan *op, o.Waiting), changed: make(chan struct{}, 1),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	release, err := o.lock(context.Background(), root)
	if err != nil {
		return nil, err
	}
	defer release()
	p, alone, err := o.present(root)
	if err != nil {
		return nil, err
	}
	s.presence = p
	if err := s.load(alone); err != nil {
		s.presence.f.Close()
		return nil, fmt.Errorf("read %s: %w", keysPath, err)
	}
	return s, nil
}

// Close ends the store: Run returns, what still waits gets ErrClosed, and the
// mark says that all is well.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		if s.running.Swap(true) {
			<-s.ended
		} else {
			close(s.ended)
			s.refuse()
		}
		s.closeErr = errors.Join(s.unmark(), s.presence.f.Close())
		s.file.forget()
	})
	return s.closeErr
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

// RemoveExactly is Remove for an entry that must still be as it was seen; else the
// error is ErrUnknown.
func (s *Store) RemoveExactly(ctx context.Context, e Entry, purge bool) error {
	if _, err := s.submit(ctx, &op{remove: e.ID, only: &e, purge: purge}); err != nil {
		return fmt.Errorf("remove agent %q: %w", e.ID, err)
	}
	return nil
}

// Refresh looks whether somebody else has changed the file, and reads it if so. A
// file that is not there changes nothing: it comes back with the next change.
func (s *Store) Refresh(ctx context.Context) error {
	if _, err := s.submit(ctx, &op{refresh: true}); err != nil {
		return fmt.Errorf("look at client.keys: %w", err)
	}
	return nil
}

// Emptied says whether there are no agents because the last ones were removed
// through this store, and not by somebody who emptied the file.
func (s *Store) Emptied() bool { return s.emptied.Load() }

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

// Unclean tells that one before ended without Close, and when the file had been
// written last then: who enrolled just before may not have got the answer.
func (s *Store) Unclean() (modified time.Time, unclean bool) { return s.modified, s.unclean }
