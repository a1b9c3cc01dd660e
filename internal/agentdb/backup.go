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
	"slices"
	"strings"
	"time"

	"testudo/internal/sqlitedb"
)

// ErrNoBackup is returned by Restore when there is no backup, or none of the name.
var ErrNoBackup = errors.New("no such backup of the agent database")

// BackupOptions says where the snapshots of the database go, when and how many
// (docs/agentdb.md §14).
type BackupOptions struct {
	// Dir is the directory of the snapshots; backup/db of the home in whose
	// queue/db the database is, unless set. It is made when it is missing.
	Dir string

	Off      bool          // RunBackups makes none
	Interval time.Duration // between two of RunBackups; a day unless set
	MaxFiles int           // the oldest beyond so many are deleted; 3 unless set
}

const (
	// backupPrefix is before the local time in the name of a snapshot.
	backupPrefix = "global.db-backup-"
	backupSuffix = ".gz"
	backupTime   = "2006-01-02-15:04:05"

	// backupReply is what Backup puts before the name: the directory as the home's
	// programs know it.
	backupReply = "backup/db/"

	// tagPreRestore marks a snapshot of what a restore replaced.
	tagPreRestore = "-pre_restore"

	backupDirMode = 0o750

	// backupWork and restoreWork are the directories for what is being made.
	backupWork  = ".backup-*"
	restoreWork = ".restore-*"
)

func (o BackupOptions) withDefaults(database string) BackupOptions {
	if o.Dir == "" {
		o.Dir = filepath.Join(filepath.Dir(database), "..", "..", "backup", "db")
	}
	if o.Interval <= 0 {
		o.Interval = 24 * time.Hour
	}
	if o.MaxFiles < 1 {
		o.MaxFiles = 3
	}
	return o
}

func (s *Store) backupOptions() BackupOptions { return s.o.Backups.withDefaults(s.o.Path) }

// Backup makes a snapshot of the database as it is now, while readers and writers
// go on, and deletes the oldest ones beyond the limit. It returns the snapshot's
// path below the home.
func (s *Store) Backup(ctx context.Context) (path string, err error) {
	name, err := s.snapshot(ctx, "")
	if err != nil {
		return "", fmt.Errorf("back up the agent database: %w", err)
	}
	if err := s.prune(); err != nil {
		s.log.Warn("Old backups of the agent database were not deleted.", slog.Any("error", err))
	}
	return backupReply + name, nil
}

// snapshot makes one file and returns its name. It appears whole or not at all.
func (s *Store) snapshot(ctx context.Context, tag string) (name string, err error) {
	if s.catchUpAll(ctx) != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	// A database that cannot be written is all the more worth a snapshot: for us it
	// has the journal, and for the original almost all.
	dir := s.backupOptions().Dir
	if err := os.MkdirAll(dir, backupDirMode); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(dir, backupWork)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	plain := filepath.Join(work, "global.db")
	if err := s.db.Load().Backup(ctx, plain); err != nil {
		return "", err
	}
	if err := compact(ctx, plain); err != nil {
		return "", err
	}
	packed := filepath.Join(work, "global.db.gz")
	if err := pack(ctx, plain, packed); err != nil {
		return "", err
	}
	name = backupPrefix + time.Now().Format(backupTime) + tag + backupSuffix
	if err := os.Rename(packed, filepath.Join(dir, name)); err != nil {
		return "", err
	}
	return name, syncDir(dir)
}

// compact rewrites a copy without its free pages and leaves it as one file.
func compact(ctx context.Context, path string) error {
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{Path: path, Rollback: true, Setup: func(*sqlitedb.Conn) error { return nil }})
	if err != nil {
		return err
	}
	err = db.Alone(ctx, vacuum)
	return errors.Join(err, db.Close())
}

// pack compresses a file into another.
func pack(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, &contextReader{ctx, in}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Sync()
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Backups returns the names of the snapshots, the oldest first.
func (s *Store) Backups() ([]string, error) {
	entries, err := os.ReadDir(s.backupOptions().Dir)
	if err != nil {
		return nil, fmt.Errorf("list backups of the agent database: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := backupDate(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	// The name begins with the time.
	slices.Sort(names)
	return names, nil
}

// backupDate reads the time in a snapshot's name; ok is false for other names.
func backupDate(name string) (at time.Time, ok bool) {
	rest, ok := strings.CutPrefix(name, backupPrefix)
	if !ok {
		return at, false
	}
	if rest, ok = strings.CutSuffix(rest, backupSuffix); !ok || len(rest) < len(backupTime) {
		return at, false
	}
	at, err := time.ParseInLocation(backupTime, rest[:len(backupTime)], time.Local)
	return at, err == nil
}

// prune deletes the oldest snapshots beyond the limit.
func (s *Store) prune() error {
	o := s.backupOptions()
	names, err := s.Backups()
	if err != nil {
		return err
	}
	var errs []error
	for len(names) > o.MaxFiles {
		errs = append(errs, os.Remove(filepath.Join(o.Dir, names[0])))
		names = names[1:]
	}
	return errors.Join(errs...)
}

const (
	// backupLook is how often RunBackups looks whether a snapshot is due, at most:
	// the clock may be set, the file deleted.
	backupLook = time.Hour

	// backupRetry is how long it waits after a failure.
	backupRetry = 10 * time.Minute
)

// RunBackups makes a snapshot whenever the newest is older than the interval
// allows, until ctx ends. Failures are logged and tried again. It begins by
// removing what a process that died while it made a snapshot has left.
func (s *Store) RunBackups(ctx context.Context) error {
	o := s.backupOptions()
	if o.Off {
		<-ctx.Done()
		return nil
	}
	s.sweep(o)
	for {
		wait := s.backupWait(o)
		if wait <= 0 {
			wait = min(o.Interval, backupLook)
			if path, err := s.Backup(ctx); err == nil {
				s.log.Info("The agent database was backed up.", slog.String("file", path))
			} else if ctx.Err() == nil {
				s.log.Error("The agent database could not be backed up.", slog.Any("error", err))
				wait = backupRetry
			}
		}
		timer := time.NewTimer(min(wait, backupLook))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// sweep removes what a process that died has left.
func (s *Store) sweep(o BackupOptions) {
	for _, pattern := range []string{filepath.Join(o.Dir, backupWork), filepath.Join(filepath.Dir(s.o.Path), restoreWork)} {
		left, _ := filepath.Glob(pattern)
		for _, dir := range left {
			if err := os.RemoveAll(dir); err != nil {
				s.log.Warn("What an interrupted backup left stays.", slog.Any("error", err))
			}
		}
	}
}

// backupWait is how long the newest snapshot is good enough.
func (s *Store) backupWait(o BackupOptions) time.Duration {
	names, err := s.Backups()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("The backups of the agent database cannot be listed.", slog.Any("error", err))
	}
	if len(names) == 0 {
		return 0
	}
	at, _ := backupDate(names[len(names)-1])
	age := time.Since(at)
	if age < 0 { // the clock was set back
		return 0
	}
	return o.Interval - age
}
