package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"testudo/internal/agentdb"
	"testudo/internal/home"
	"testudo/internal/nodedb"
	"testudo/internal/sqlitedb"
)

// withFile works on the database of a home in which no node runs.
func withFile(ctx context.Context, dir string, work func(*agentdb.Store) error) (err error) {
	if uid, gid, ok := home.Identity(); ok && os.Geteuid() == 0 {
		defer func() { err = errors.Join(err, handOver(dir, identity{uid, gid})) }()
	}
	store, err := agentdb.Open(ctx, agentdb.Options{Path: filepath.Join(dir, nodedb.FilePath)})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var writer sync.WaitGroup
	var ended error
	writer.Go(func() { ended = store.Run(running) })
	err = work(store)
	stop()
	writer.Wait()
	return errors.Join(err, ended, store.Close())
}

// backupFile saves the database itself.
func backupFile(ctx context.Context, dir string) (path string, err error) {
	if _, err := os.Stat(filepath.Join(dir, nodedb.FilePath)); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not there; the node has not run", nodedb.FilePath)
	}
	err = withFile(ctx, dir, func(s *agentdb.Store) error {
		path, err = s.Backup(ctx)
		return err
	})
	return path, err
}

// restoreFile puts a backup in the place of the database. One that cannot be
// opened is moved aside, under the name it returns.
func restoreFile(ctx context.Context, dir, name string, save bool) (aside string, err error) {
	path := filepath.Join(dir, nodedb.FilePath)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		save = false // there is nothing
	}
	restore := func(s *agentdb.Store) error { return s.Restore(ctx, name, save) }
	err = withFile(ctx, dir, restore)
	if !sqlitedb.IsBroken(err) || !broken(ctx, path) {
		return "", err
	}
	save = false
	aside = path + time.Now().Format(".damaged-2006-01-02-15:04:05")
	if err := moveDatabase(path, aside); err != nil {
		return "", fmt.Errorf("move the damaged database aside: %w", err)
	}
	if err := withFile(ctx, dir, restore); err != nil {
		return "", errors.Join(err, moveDatabase(aside, path))
	}
	return aside, nil
}

// broken says whether it is the database that cannot be used, not the backup.
func broken(ctx context.Context, path string) bool {
	report := dbReport{File: path}
	err := report.read(ctx)
	return sqlitedb.IsBroken(err) || err == nil && len(report.Problems) > 0
}

// moveDatabase renames a database with the files beside it.
func moveDatabase(from, to string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Rename(from+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
