package filestate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/sqlitedb"
)

const (
	// defaultNodeLimit bounds how many nodes the database remembers: names come
	// from peers. It is well above the number of workers a master takes.
	defaultNodeLimit = 4096

	// pageRows is how many rows are read or written at once: enough to be fast,
	// few enough to need little memory and to let an operator's decision in
	// between.
	pageRows = 2048

	// gather is how long changes are collected before they are written together.
	gather = 100 * time.Millisecond

	// holdBack is how long a picture of at least pageRows rows that has changed
	// waits for a newer one: while a large sync goes on pictures of all files
	// follow one another within a second, and writing each costs as much as the
	// sync itself.
	holdBack = 2 * time.Second

	// retryAfter is the pause after a write that did not succeed (disk full).
	retryAfter = 5 * time.Second

	// closeGrace is how long Close may take to write what is waiting.
	closeGrace = 5 * time.Second
)

// ErrClosed is returned by operations on a closed store.
var ErrClosed = errors.New("file state store is closed")

// Store is the writing side of cluster.db. One process holds one; its methods
// may be called from any goroutine, and Set, SetNode and Forget never wait.
type Store struct {
	path  string
	log   *slog.Logger
	limit int
	seed  maphash.Seed

	pageRows int           // pageRows, but in tests
	holdBack time.Duration // holdBack, but in tests

	stop  context.CancelFunc
	ended chan struct{} // closed when the writing goroutine is gone
	kick  chan struct{} // there is something to write
	hurry chan struct{} // somebody waits for it
	close func() error

	epoch atomic.Uint64

	dbMu sync.RWMutex
	db   *sqlitedb.DB // replaced when the file turns out to be damaged

	mu      sync.Mutex
	waiting map[string]*order // by node; at most limit
	asked   uint64            // changes handed over so far
	tried   uint64            // changes that an attempt to write has dealt with
	lastErr error             // of the last attempt
	turn    chan struct{}     // closed and replaced at the end of each attempt
	refused int               // changes dropped because limit was reached

	nodes register // used by the writing goroutine alone
}

// order is what waits to be written for one node. forget comes first.
type order struct {
	forget bool
	node   *NodeState
	rows   iter.Seq[Row]
	since  time.Time // when the first picture came that has not been written
	held   bool      // it was found to be large and waits
}

// Option changes how Open sets up a store.
type Option func(*Store)

// WithNodeLimit sets how many nodes are remembered (4096 unless set). For one
// more, the node that has been away for the longest is forgotten.
func WithNodeLimit(n int) Option { return func(s *Store) { s.limit = n } }

// Open opens the database at path, making it with mode 0640 when it is absent,
// and starts the goroutine that writes. A file that is no database or a damaged
// one is renamed to path.damaged-TIME, with a warning, and made anew. Every node
// counts as disconnected until SetNode says otherwise. log, nil for none, gets
// what goes wrong with the file. Close ends the store.
func Open(ctx context.Context, path string, log *slog.Logger, opts ...Option) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		path:    path,
		log:     log,
		limit:   defaultNodeLimit,
		seed:    maphash.MakeSeed(),
		ended:   make(chan struct{}),
		kick:    make(chan struct{}, 1),
		hurry:   make(chan struct{}, 1),
		waiting: make(map[string]*order),
		turn:    make(chan struct{}),

		pageRows: pageRows,
		holdBack: holdBack,
	}
	for _, o := range opts {
		o(s)
	}
	db, nodes, err := s.openOrRebuild(ctx)
	if err != nil {
		return nil, err
	}
	s.db, s.nodes = db, nodes
	// The writer outlives the context of Open; Close ends it.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.close = sync.OnceValue(s.shutDown)
	go s.write(writing)
	return s, nil
}

// Close writes what is waiting (for at most 5 s), marks all nodes disconnected,
// ends the writing goroutine and closes the database. Later calls return what
// the first did.
func (s *Store) Close() error { return s.close() }

func (s *Store) shutDown() error {
	s.stop()
	<-s.ended
	s.mu.Lock()
	err := s.lastErr
	s.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("last write to %s: %w", s.path, err)
	}
	return errors.Join(err, s.database().Close())
}

// Run waits for the end of ctx and closes the store: the form in which a group
// of tasks owns it.
func (s *Store) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.Close()
}

// Set hands over the whole picture of a node: all its files, strictly ascending
// by File (Row.Node is not read). Since may be zero: a row that is new or
// changed then gets the time of writing; one that has not changed keeps the time
// it has. The picture is walked later and perhaps more than once, so it must not
// change; until then a newer one takes its place. Handing over the same picture
// at each round is cheap: it is recognised without looking at the database. A
// large one that has changed waits up to two seconds for a newer one.
// nil is a node without files.
func (s *Store) Set(node string, rows iter.Seq[Row]) {
	if rows == nil {
		rows = func(func(Row) bool) {}
	}
	s.order(node, func(o *order) {
		if o.rows == nil {
			o.since = time.Now()
		}
		o.rows, o.held = rows, false
	})
}

// SetNode hands over what is known of a node as a whole.
func (s *Store) SetNode(n NodeState) {
	s.order(n.Node, func(o *order) { o.node = &n })
}

// Forget removes all rows of a node, unless something is handed over for it
// afterwards.
func (s *Store) Forget(node string) {
	s.order(node, func(o *order) { *o = order{forget: true} })
}

func (s *Store) order(node string, change func(*order)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.waiting[node]
	if o == nil {
		if len(s.waiting) >= s.limit {
			s.refused++
			return
		}
		o = &order{}
		s.waiting[node] = o
	}
	change(o)
	s.asked++
	signal(s.kick)
}

// Waiting is how many nodes have something that is not written yet.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// Flush waits until everything that was handed over before the call has been
// written, and returns why it was not.
func (s *Store) Flush(ctx context.Context) error {
	s.mu.Lock()
	want := s.asked
	for s.tried < want {
		turn := s.turn
		s.mu.Unlock()
		signal(s.hurry)
		select {
		case <-turn:
		case <-s.ended:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	return s.lastErr
}

// Epoch changes when the rows were lost because the file had to be made anew.
// Whoever hands a picture over only when it has changed hands all over again
// then.
func (s *Store) Epoch() uint64 { return s.epoch.Load() }

// database is the database in use at this moment.
func (s *Store) database() *sqlitedb.DB {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	return s.db
}

// signal wakes the goroutine that waits on a channel of one slot.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
