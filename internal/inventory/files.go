package inventory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
	"testudo/internal/sqlitedb"
)

// fileMode is the original's.
const fileMode = fs.FileMode(0o640)

// beside are the files that SQLite keeps beside a database.
func beside() []string { return []string{"-journal", "-wal", "-shm"} }

func fileName(id agent.ID) string { return id.String() + ".db" }

// Exists tells whether the agent has a database.
func (s *Store) Exists(id agent.ID) bool {
	info, err := s.root.Stat(fileName(id))
	return err == nil && info.Mode().IsRegular()
}

// openFile opens the agent's database, making it when there is none.
func (s *Store) openFile(ctx context.Context, id agent.ID) (*sqlitedb.DB, error) {
	db, err := s.tryOpen(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.create(id); err == nil {
			db, err = s.tryOpen(ctx, id)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return db, nil
}

func (s *Store) tryOpen(ctx context.Context, id agent.ID) (*sqlitedb.DB, error) {
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path:     filepath.Join(s.o.Dir, fileName(id)),
		Existing: true, // as it is, journal mode included: other programs know it so
		Readers:  readersPerFile,
	})
	if err != nil {
		return nil, err
	}
	// Files of the original name parents that no row has: it does not enforce them.
	err = db.Alone(ctx, func(c *sqlitedb.Conn) error { return sqlitedb.Exec(c, "PRAGMA foreign_keys = OFF") })
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// create makes an empty database for the agent.
func (s *Store) create(id agent.ID) error {
	data, err := s.template.get(s.o.Dir)
	if err != nil {
		return fmt.Errorf("make an empty database: %w", err)
	}
	return atomicfile.Write(s.root, fileName(id), data, atomicfile.Options{
		Mode: fileMode, UID: atomicfile.Keep, GID: atomicfile.Keep,
	})
}

// templateName is the beginning of the names of directories in which empty
// databases are made.
const templateName = ".template-"

// template is an empty database, made when it is needed for the first time.
type template struct {
	mu   sync.Mutex
	data []byte
}

// get returns its bytes. A failure, as of a full disk, is not for ever: the next
// call tries again.
func (t *template) get(dir string) (data []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.data == nil {
		t.data, err = newTemplate(dir)
	}
	return t.data, err
}

// removeTemplates removes what a killed process has left of them.
func removeTemplates(root *os.Root) error {
	names, err := fs.Glob(root.FS(), templateName+"*")
	for _, name := range names {
		err = errors.Join(err, root.RemoveAll(name))
	}
	return err
}

// newTemplate returns the bytes of an empty database, which it makes in dir.
func newTemplate(dir string) (data []byte, err error) {
	work, err := os.MkdirTemp(dir, templateName+"*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	path := filepath.Join(work, "template.db")
	// Making it takes milliseconds and everybody waits for it: no deadline.
	ctx := context.Background()
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{Path: path, Mode: fileMode, Rollback: true})
	if err != nil {
		return nil, err
	}
	err = db.Write(ctx, func(c *sqlitedb.Conn) error {
		for _, statement := range schema() {
			if err := sqlitedb.Exec(c, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Removal is what became of an agent's database in Remove, in the words of the
// socket's reply (docs/agentdb.md §13).
type Removal string

// The outcomes of a removal.
const (
	Removed      Removal = "ok"
	CannotClose  Removal = "Can't close"
	CannotDelete Removal = "Can't delete" // also when there is no file
)

// Remove closes and deletes the databases of the agents. Requests that run on
// them are interrupted.
func (s *Store) Remove(ctx context.Context, ids []agent.ID) map[agent.ID]Removal {
	done := make(map[agent.ID]Removal, len(ids))
	for _, id := range ids {
		if _, ok := done[id]; ok {
			continue
		}
		done[id] = s.remove(ctx, id)
	}
	return done
}

func (s *Store) remove(ctx context.Context, id agent.ID) Removal {
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return CannotClose
	}
	defer func() { <-s.turns }()
	bar, old, err := s.bar(ctx, id)
	if err != nil {
		return CannotClose
	}
	defer func() {
		s.drop(id, bar)
		close(bar.ready)
	}()
	if old != nil && old.db != nil {
		if err := old.db.Close(); err != nil {
			s.o.Log.Warn("database of a removed agent closed with an error", "agent", id.String(), "error", err)
		}
	}
	err = s.root.Remove(fileName(id))
	for _, suffix := range beside() {
		if e := s.root.Remove(fileName(id) + suffix); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err == nil {
		return Removed
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("database of a removed agent stays", "agent", id.String(), "error", err)
	}
	return CannotDelete
}

// bar puts a handle in the place of the agent's that nobody can use until the
// caller closes its ready, and returns the one that was there.
func (s *Store) bar(ctx context.Context, id agent.ID) (bar, old *handle, err error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, nil, ErrClosed
		}
		old = s.open[id]
		if old == nil || isReady(old) {
			bar = &handle{ready: make(chan struct{}), gone: true, users: 1}
			s.open[id] = bar
			s.mu.Unlock()
			return bar, old, nil
		}
		s.mu.Unlock()
		select {
		case <-old.ready: // opened, or removed by somebody else
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func isReady(h *handle) bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}
