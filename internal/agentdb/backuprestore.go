package agentdb

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"testudo/internal/sqlitedb"
)

// restoreLimit is how many bytes a snapshot may unpack to.
const restoreLimit = 64 << 30

// Restore puts a snapshot in the place of the database; the newest one for the
// name "". With saveFirst a snapshot tagged pre_restore is made of what is there
// now. The snapshot is unpacked and checked beside the database before it takes
// its place in one step; writes wait meanwhile, reads go on or are repeated.
//
// Errors: ErrNoBackup; what Open returns for a file that is no database of
// agents of this version or is damaged; those of the file system. The database
// is then as it was.
func (s *Store) Restore(ctx context.Context, name string, saveFirst bool) error {
	name, err := s.pickBackup(name)
	if err != nil {
		return fmt.Errorf("restore the agent database: %w", err)
	}
	if err := s.restore(ctx, name, saveFirst); err != nil {
		return fmt.Errorf("restore the agent database from %s: %w", name, err)
	}
	s.replacedHint.give()
	s.log.Info("The agent database was restored.", slog.String("file", name))
	return nil
}

// pickBackup finds the snapshot. Only names that Backups lists are taken, so no
// name leads elsewhere.
func (s *Store) pickBackup(name string) (string, error) {
	names, err := s.Backups()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if name == "" && len(names) > 0 {
		return names[len(names)-1], nil
	}
	for _, n := range names {
		if n == name {
			return n, nil
		}
	}
	return "", ErrNoBackup
}

func (s *Store) restore(ctx context.Context, name string, saveFirst bool) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(s.o.Path), restoreWork)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	fresh := filepath.Join(work, "global.db")
	if err := unpack(ctx, filepath.Join(s.backupOptions().Dir, name), fresh); err != nil {
		return err
	}
	if err := inspect(ctx, fresh); err != nil {
		return err
	}
	if saveFirst {
		if _, err := s.snapshot(ctx, tagPreRestore); err != nil {
			return fmt.Errorf("save what is there: %w", err)
		}
	}
	old := filepath.Join(work, "old.db")
	return s.between(ctx, func(ctx context.Context) error {
		err := s.reopen(ctx, func() error { return swap(s.o.Path, fresh, old) })
		if err == nil {
			return nil
		}
		if _, missing := os.Stat(old); missing != nil {
			return err // the old one was never moved
		}
		s.log.Error("The restored agent database does not open; the one before is taken again.", slog.Any("error", err))
		return errors.Join(err, s.reopen(ctx, func() error { return replaceFile(old, s.o.Path) }))
	})
}

// swap puts fresh in the place of path, which stays reachable as old. The
// database is closed.
func swap(path, fresh, old string) error {
	// A log that could not be folded in belongs to the old file and would be taken
	// for the new one's.
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(path + suffix); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s%s is still in use", path, suffix)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.Chmod(fresh, info.Mode().Perm()); err != nil {
		return err
	}
	keepOwner(fresh, info)
	if err := os.Link(path, old); err != nil {
		return err
	}
	return replaceFile(fresh, path)
}

// replaceFile renames a file that is on disk over another.
func replaceFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// unpack decompresses a snapshot into a new file.
func unpack(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	n, err := io.Copy(out, io.LimitReader(&contextReader{ctx, z}, restoreLimit+1))
	switch {
	case err != nil:
		return err
	case n > restoreLimit:
		return fmt.Errorf("unpacks to more than %d GiB", restoreLimit>>30)
	}
	return out.Sync()
}

// inspect checks that a file is a sound database of agents that Open will take.
func inspect(ctx context.Context, path string) error {
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{Path: path, ReadOnly: true, Setup: isAgents})
	if err != nil {
		return err
	}
	return errors.Join(db.QuickCheck(ctx), db.Close())
}

// isAgents is setUp for a file that must have its tables.
func isAgents(c *sqlitedb.Conn) error {
	tables := 0
	err := sqlitedb.Select(c, "SELECT count(*) FROM sqlite_schema", func(st *sqlitedb.Stmt) error {
		tables = st.ColumnInt(0)
		return nil
	})
	switch {
	case err != nil:
		return err
	case tables == 0:
		return ErrNotAgents
	}
	return setUp(c)
}

// keepOwner gives a file the owner of the one it replaces, as far as we may.
func keepOwner(path string, of fs.FileInfo) {
	if st, ok := of.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(path, int(st.Uid), int(st.Gid)) // without the right to, it is ours
	}
}
