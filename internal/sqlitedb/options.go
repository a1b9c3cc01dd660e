package sqlitedb

import (
	"io/fs"
	"time"
)

const (
	defaultReaders     = 4
	defaultMode        = fs.FileMode(0o640)
	defaultBusyTimeout = 5 * time.Second

	// writerCacheKiB and readerCacheKiB bound what one connection keeps of the
	// file in memory. The operating system caches the file as well.
	writerCacheKiB = 4096
	readerCacheKiB = 1024

	// walKeepBytes is what the write-ahead log is cut back to after a large
	// transaction made it grow.
	walKeepBytes = 16 << 20
)

// Synchronous says how much a commit waits for the disk.
type Synchronous int

const (
	// SyncNormal survives the death of the process; the last commits before a
	// power cut may be undone, never torn.
	SyncNormal Synchronous = iota
	// SyncFull survives a power cut too: each commit waits for the disk.
	SyncFull
)

func (s Synchronous) pragma() string {
	if s == SyncFull {
		return "FULL"
	}
	return "NORMAL"
}

// Options describes a database to open.
type Options struct {
	// Path is the database file. SQLite keeps Path-wal and Path-shm beside it.
	Path string

	// Readers is how many reads may run at once; further ones wait. 0 means 4.
	// A connection is opened when it is first needed.
	Readers int

	// Migrations are SQL scripts. A database at version n has run the first n;
	// the rest run at Open, each in a transaction of its own. Never change one
	// that has been released: append.
	Migrations []string

	// AppID marks the file as this application's. A database with another mark
	// is refused with ErrForeign.
	AppID int32

	// Setup, when set, takes the place of Migrations and AppID for a file whose
	// schema is not this package's to number, such as another program's. It runs at
	// Open on the writing connection inside a transaction, makes the schema when
	// there is none, and refuses the file with ErrSchema or ErrForeign when it is
	// not the right one. With Existing or ReadOnly it must not write.
	Setup func(c *Conn) error

	// Rollback leaves the file in rollback journal mode, without files beside it,
	// when Close finds no other process using it. For a file that other programs
	// may open when this one has ended.
	Rollback bool

	// LogPages is how many pages the write-ahead log may hold before a commit
	// folds it into the file. 0 means 1000. More makes large writes cheaper.
	LogPages int

	// Mode is the mode of a newly made file and of the files beside it, whatever
	// the umask says. 0 means 0640. A file that exists keeps its mode.
	Mode fs.FileMode

	// Synchronous is SyncNormal unless said otherwise.
	Synchronous Synchronous

	// BusyTimeout is how long a write waits for another process. 0 means 5 s.
	BusyTimeout time.Duration

	// Existing forbids making and migrating: the file must be there, with the
	// schema of exactly these migrations. For a second process that works on
	// what the first one owns.
	Existing bool

	// ReadOnly is Existing, and Write is refused.
	ReadOnly bool
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Readers < 1 {
		o.Readers = defaultReaders
	}
	if o.Mode == 0 {
		o.Mode = defaultMode
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = defaultBusyTimeout
	}
	o.Existing = o.Existing || o.ReadOnly
	return o
}
