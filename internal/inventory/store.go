package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

const (
	defaultMaxOpen = 64
	defaultTimeout = 30 * time.Second
	readersPerFile = 2
)

// Options says where the databases are and what is allowed.
type Options struct {
	Dir      string        // directory of the files: HOME/queue/db
	Writable bool          // SQL may write
	MaxOpen  int           // files open at once, and requests that run at once; 0 means 64
	Timeout  time.Duration // of one request; 0 means 30 s
	Log      *slog.Logger  // nil: nothing is logged
}

// Store gives access to the databases of all agents. It is safe for use by many
// goroutines.
type Store struct {
	o        Options
	root     *os.Root
	turns    chan struct{} // one token for each request that runs, MaxOpen at most
	template template

	mu     sync.Mutex
	open   map[agent.ID]*handle
	clock  uint64 // counts uses, to find the handle unused for longest
	closed bool
}

// handle is an open database, or one that is being opened or removed.
type handle struct {
	ready chan struct{} // closed when db or err is set, or the removal is done
	db    *sqlitedb.DB
	err   error
	gone  bool // the handle was for a removal: look again

	// Guarded by the mu of the Store.
	users int
	used  uint64
}

// Open prepares the store; no database is opened yet. The directory must exist.
func Open(o Options) (*Store, error) {
	if o.MaxOpen < 1 {
		o.MaxOpen = defaultMaxOpen
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open inventory: %w", err)
	}
	if err := removeTemplates(root); err != nil {
		return nil, errors.Join(fmt.Errorf("open inventory: %w", err), root.Close())
	}
	return &Store{o: o, root: root, turns: make(chan struct{}, o.MaxOpen), open: map[agent.ID]*handle{}}, nil
}

// Close interrupts what runs and closes every database.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	open := s.open
	s.open = map[agent.ID]*handle{}
	s.mu.Unlock()
	errs := []error{}
	for _, h := range open {
		<-h.ready
		if h.db != nil {
			errs = append(errs, h.db.Close())
		}
	}
	return errors.Join(append(errs, s.root.Close())...)
}

// with calls fn with the agent's database and a context that ends after the
// time a request may take.
func (s *Store) with(ctx context.Context, id agent.ID, fn func(context.Context, *sqlitedb.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turns }()
	h, err := s.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer s.release(h)
	return fn(ctx, h.db)
}

// acquire returns the handle of the agent's database, opened, with one user
// more. The caller holds one of the turns, so not all handles are in use.
func (s *Store) acquire(ctx context.Context, id agent.ID) (*handle, error) {
	for {
		h, victim, mine, err := s.enter(id)
		if err != nil {
			return nil, err
		}
		if victim != nil {
			s.shut(victim)
		}
		if mine {
			// Others may wait for the same file: it does not end with this caller.
			h.db, h.err = s.openFile(context.WithoutCancel(ctx), id)
			if h.err != nil {
				s.drop(id, h)
			}
			close(h.ready)
		}
		select {
		case <-h.ready:
		case <-ctx.Done():
			s.release(h)
			return nil, ctx.Err()
		}
		switch {
		case h.gone:
			s.release(h)
		case h.err != nil:
			s.release(h)
			return nil, h.err
		default:
			return h, nil
		}
	}
}

// enter finds the agent's handle or puts a new one in, which is then the
// caller's to open (mine) after closing the victim that made room for it.
func (s *Store) enter(id agent.ID) (h, victim *handle, mine bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, false, ErrClosed
	}
	h = s.open[id]
	if h == nil {
		victim = s.makeRoomLocked()
		h, mine = &handle{ready: make(chan struct{})}, true
		s.open[id] = h
	}
	s.clock++
	h.users++
	h.used = s.clock
	return h, victim, mine, nil
}

// makeRoomLocked takes out the handle unused for longest when as many are open
// as may be.
func (s *Store) makeRoomLocked() *handle {
	if len(s.open) < s.o.MaxOpen {
		return nil
	}
	var oldest agent.ID
	var victim *handle
	for id, h := range s.open {
		if h.users == 0 && (victim == nil || h.used < victim.used) {
			oldest, victim = id, h
		}
	}
	if victim != nil {
		delete(s.open, oldest)
	}
	return victim
}

func (s *Store) release(h *handle) {
	s.mu.Lock()
	h.users--
	s.mu.Unlock()
}

// drop forgets a handle that could not be opened.
func (s *Store) drop(id agent.ID, h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[id] == h {
		delete(s.open, id)
	}
}

// shut closes a database that is no longer among the open ones. A failure loses
// nothing that was committed.
func (s *Store) shut(h *handle) {
	<-h.ready
	if h.db == nil {
		return
	}
	if err := h.db.Close(); err != nil {
		s.o.Log.Warn("database of an agent closed with an error", "error", err)
	}
}
