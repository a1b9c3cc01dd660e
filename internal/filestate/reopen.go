package filestate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"testudo/internal/sqlitedb"
)

// damagedKept is how many files that were moved aside are kept.
const damagedKept = 2

// needsReopening reports whether err will not go away by itself.
func needsReopening(err error) bool {
	return unusable(err) || errors.Is(err, sqlitedb.ErrClosed)
}

// unusable reports whether the file must be replaced. A file of another
// application or of a later release holds nothing that we could not see again.
func unusable(err error) bool {
	return sqlitedb.IsBroken(err) || errors.Is(err, sqlitedb.ErrForeign) || errors.Is(err, sqlitedb.ErrSchema)
}

// openOrRebuild opens the database, replacing an unusable file.
func (s *Store) openOrRebuild(ctx context.Context) (*sqlitedb.DB, register, error) {
	db, nodes, err := s.openChecked(ctx)
	if !unusable(err) {
		return db, nodes, err
	}
	aside, moveErr := moveAside(s.path, time.Now())
	if moveErr != nil {
		return nil, nil, errors.Join(err, moveErr)
	}
	s.epoch.Add(1)
	s.log.Warn("The database of file states is unusable and is made anew; it fills by itself.",
		slog.String("file", s.path), slog.String("moved_to", aside), slog.Any("error", err))
	return s.openChecked(ctx)
}

// openChecked opens the database and reads what it knows of nodes. After an
// unclean end, which leaves a log, the whole file is checked.
func (s *Store) openChecked(ctx context.Context) (*sqlitedb.DB, register, error) {
	wal, err := os.Stat(s.path + "-wal")
	unclean := err == nil && wal.Size() > 0
	db, err := sqlitedb.Open(ctx, options(s.path))
	if err != nil {
		return nil, nil, err
	}
	if unclean {
		err = db.QuickCheck(ctx)
	}
	var nodes register
	if err == nil {
		nodes, err = readRegister(ctx, db)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, nodes, nil
}

// reopen replaces the database in use, because of cause.
func (s *Store) reopen(ctx context.Context, cause error) error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if err := s.db.Close(); err != nil {
		s.log.Warn("The database of file states did not close properly.", slog.Any("error", err))
	}
	db, nodes, err := s.openOrRebuild(ctx)
	if err != nil {
		return errors.Join(cause, err)
	}
	s.db, s.nodes = db, nodes
	return nil
}

// moveAside renames the database and the files beside it and drops what earlier
// calls moved, but for the last ones. It returns the new name.
func moveAside(path string, now time.Time) (string, error) {
	const mark = ".damaged-"
	aside := path + mark + now.UTC().Format("20060102T150405.000")
	for _, end := range []string{"", "-wal", "-shm"} {
		err := os.Rename(path+end, aside+end)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("move %s aside: %w", path+end, err)
		}
	}
	stamps := map[string]bool{}
	names, err := filepath.Glob(path + mark + "*")
	if err != nil {
		return "", fmt.Errorf("list %s: %w", path+mark+"*", err)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		stamp := name[:len(aside)]
		stamps[stamp] = true
		if len(stamps) <= damagedKept {
			continue
		}
		if err := os.Remove(name); err != nil {
			return "", fmt.Errorf("remove an old damaged database: %w", err)
		}
	}
	return aside, nil
}
