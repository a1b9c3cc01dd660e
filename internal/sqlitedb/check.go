package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
)

// backupPages is how many pages are copied between two looks at the context:
// 4 MiB of the usual page size.
const backupPages = 1024

// QuickCheck reads the whole file and returns ErrDamaged, with the first
// finding, when its structure is not sound. It takes about a second for 100 MB.
func (db *DB) QuickCheck(ctx context.Context) error {
	err := db.Read(ctx, func(c *Conn) error {
		return Select(c, "PRAGMA quick_check(1)", func(s *Stmt) error {
			if finding := s.ColumnText(0); finding != "ok" {
				return fmt.Errorf("%w: %s", ErrDamaged, finding)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("check database %s: %w", db.o.Path, err)
	}
	return nil
}

// Backup writes a copy of the database, as it is at this moment, to the file
// path, with the database's mode. Writers go on meanwhile. The copy appears
// whole or not at all and replaces a file that is there.
func (db *DB) Backup(ctx context.Context, path string) error {
	if err := db.backup(ctx, path); err != nil {
		return fmt.Errorf("back up database %s to %s: %w", db.o.Path, path, explain(ctx, err))
	}
	return nil
}

func (db *DB) backup(ctx context.Context, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	temporary := f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(temporary))
		}
	}()
	if err := f.Chmod(db.o.Mode); err != nil {
		return err
	}
	if err := db.Read(ctx, func(c *Conn) error { return copyInto(ctx, temporary, c) }); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	// The copy is in place: from here on nothing is undone.
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

// copyInto copies the state that src sees into the empty file at path.
func copyInto(ctx context.Context, path string, src *Conn) (err error) {
	dst, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	// A transaction sees nothing before its first read. With it the copy cannot
	// be made to start over by a writer.
	if _, err := pragmaInt(src, "schema_version"); err != nil {
		return err
	}
	b, err := sqlite.NewBackup(dst, "", src, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for more := true; more; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if more, err = b.Step(backupPages); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes a rename in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
