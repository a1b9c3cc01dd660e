package agentdb

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
	"testudo/internal/metrics"
	"testudo/internal/sqlitedb"
)

const (
	// fileMode is the mode of a newly made file.
	fileMode = 0o640

	// logPages is how far the write-ahead log may grow, 16 MiB: more than a full
	// report of some ten thousand agents.
	logPages = 4096

	// checkedSize is up to which size a file's structure is checked at Open; it
	// takes less than a second.
	checkedSize = 96 << 20

	// queryTime bounds one statement given to SQL unless Options say otherwise.
	queryTime = 20 * time.Second
)

// Options describes an agent database to open.
type Options struct {
	// Path is the file, queue/db/global.db of a home. Its directory must exist.
	Path string

	// Master says that the node is the master of a cluster: groups that change
	// because a group was deleted are then to be sent to the workers.
	Master bool

	// AllowWrites lets SQL run statements that write.
	AllowWrites bool

	// QueryTime bounds the time of one statement given to SQL; 20 s unless set.
	QueryTime time.Duration

	// Backups says where snapshots go, when and how many.
	Backups BackupOptions

	// Readers is how many reads may run at once; 4 unless set.
	Readers int

	// Log gets what goes wrong; nil for none.
	Log *slog.Logger

	// Metrics counts; nil for none.
	Metrics *metrics.Set

	// Health gets that the file cannot be written; nil for nobody.
	Health *health.Board
}

// Store is an open agent database. Its methods may be called by many goroutines
// at once. Those that write need Run to be running, and wait for it.
type Store struct {
	o    Options
	log  *slog.Logger
	db   atomic.Pointer[sqlitedb.DB] // replaced by reopen
	seed maphash.Seed

	ops     chan *op
	running atomic.Bool
	ended   chan struct{} // closed when the writer has ended
	closing chan struct{} // closed by Close
	close   func() error
	release func() error // gives the file up for other processes

	roster        *roster
	groupsChanged atomic.Uint64 // grows whenever the groups of an agent may have changed
	journal       *journal
	groupSum      groupSum // what GroupsHash has computed

	rowPool sync.Pool       // of *[]infoRow, for SetSyncInfo
	recent  sqlitedb.Recent // statements of Query

	infoHint, groupsHint, replacedHint hint

	// For the writer alone.
	tx       *tx
	foreseen foreseen
	cursor   agent.ID // of SyncInfo
	regroups uint32   // the last one given, see record
	trouble  trouble
}

// Open opens the database, and makes it when there is none. A file of a 4.7.5
// node is used as it is. The context bounds the opening only.
//
// Errors: ErrInUse; ErrOldSchema, ErrNewSchema and ErrNotAgents; sqlitedb.ErrNotDatabase and
// sqlitedb.ErrDamaged, with advice; sqlitedb.ErrBusy; those of the file system.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.QueryTime <= 0 {
		o.QueryTime = queryTime
	}
	s := &Store{
		o: o, log: o.Log, seed: maphash.MakeSeed(),
		ops: make(chan *op, queueLength), ended: make(chan struct{}), closing: make(chan struct{}),
		roster: newRoster(), journal: newJournal(), foreseen: make(foreseen), infoHint: newHint(), groupsHint: newHint(), replacedHint: newHint(),
	}
	s.tx, s.trouble.calm = newTx(s), calmAfter
	s.close = sync.OnceValue(s.shutDown)
	release, err := claim(ctx, o.Path)
	if err != nil {
		return nil, err
	}
	s.release = release
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, release())
	}
	return s, nil
}

// load opens the file and reads the roster from it.
func (s *Store) load(ctx context.Context) error {
	db, err := s.openFile(ctx)
	if err != nil {
		return advise(err)
	}
	s.db.Store(db)
	if err = s.replayJournal(ctx); err == nil {
		err = s.loadRoster(ctx, false)
	}
	if err == nil {
		err = s.loadForeseen(ctx)
	}
	if err != nil {
		return advise(errors.Join(fmt.Errorf("read the agents of %s: %w", s.o.Path, err), db.Close()))
	}
	return nil
}

func (s *Store) openFile(ctx context.Context) (*sqlitedb.DB, error) {
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path: s.o.Path, Mode: fileMode, Readers: s.o.Readers,
		Setup: setUp, Rollback: true, LogPages: logPages,
	})
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(s.o.Path)
	if err == nil && info.Size() <= checkedSize {
		err = db.QuickCheck(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// advise says what to do about a file that cannot be used.
func advise(err error) error {
	if sqlitedb.IsBroken(err) {
		return fmt.Errorf("%w; put a backup in its place with \"testudo db restore\" (backups are in backup/db), or move the file away: a worker's is filled again by the master, a master's from etc/client.keys", err)
	}
	return err
}

// reopen closes the file, lets replace put another in its place and opens that.
// For operations given to between. When the new file cannot be opened the store
// answers errors until another reopen succeeds.
func (s *Store) reopen(ctx context.Context, replace func() error) error {
	err := s.db.Load().Close()
	if err == nil {
		err = replace()
	}
	// Whatever has become of it: a file that can be opened is better than none.
	s.cursor = 0
	s.groupsChanged.Add(1)
	return errors.Join(err, s.load(ctx))
}

// Close ends Run, waits for it, and closes the file. Later calls return what the
// first did.
func (s *Store) Close() error { return s.close() }

func (s *Store) shutDown() error {
	close(s.closing)
	if s.running.CompareAndSwap(false, true) {
		close(s.ended) // Run was never called and is not going to be
	}
	<-s.ended
	return errors.Join(s.db.Load().Close(), s.release())
}

// read calls fn with a connection that sees one committed state of the database.
// fn must not keep the connection. Errors of the database are QueryErrors.
func (s *Store) read(ctx context.Context, fn func(*sqlitedb.Conn) error) error {
	db := s.db.Load()
	err := db.Read(ctx, fn)
	if errors.Is(err, sqlitedb.ErrClosed) {
		if now := s.db.Load(); now != db {
			err = now.Read(ctx, fn) // the file was replaced meanwhile
		}
	}
	return asQuery(err)
}

// errEnough ends a query whose further rows are not wanted.
var errEnough = errors.New("enough rows")

func notEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
