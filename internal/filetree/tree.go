// Package filetree is a home's synchronised directories on disk. It finds out
// what they hold (Scan, cheap when nothing changed), tells when something may
// have changed (Watch), opens files for sending (OpenFile), and makes them equal
// to what a master said (Stage and Apply, docs/integrity.md §6).
//
// Which directories those are is said by manifest.Items. An item's own directory
// may be reached through symbolic links when it is read; when it is written, only
// through links that stay inside the home. Below it no link to a directory is
// ever followed, so no name leads out of it. Links to files are read through.
package filetree

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

var (
	// ErrNotRegular is returned when a file is neither a regular file nor a
	// link to one: a FIFO, a socket, a device.
	ErrNotRegular = errors.New("not a regular file")
	// ErrChanging is returned when a file changed each time it was read.
	ErrChanging = errors.New("changes while it is being read")
	// ErrTooDeep is returned when a directory has too many directories above it.
	ErrTooDeep = errors.New("too many directories above it")
	// ErrNotStaged is returned when a file that is to be written was not put
	// into the stage.
	ErrNotStaged = errors.New("its content did not come")
	// ErrDigest is returned when a staged content is not the one expected.
	ErrDigest = errors.New("its content is not the one announced")
	// ErrInTheWay is returned when something that is not synchronised stands
	// where a file or a directory is to be written.
	ErrInTheWay = errors.New("something that is not synchronised is in the way")
)

const (
	// maxDepth bounds the directories below an item, and so the descriptors
	// that a walk holds open.
	maxDepth = 100
	// blockSize is how much of a file is read at once.
	blockSize = 128 << 10
	// maxKnown bounds the digests that Apply leaves for the next scan; files
	// beyond it are hashed again.
	maxKnown = 1 << 18
)

// Options says how a Tree works.
type Options struct {
	// Items is the table of what is synchronised.
	Items manifest.Items
	// CacheFile keeps digests across restarts; relative to the home, "" = none.
	// A damaged one is ignored and written anew.
	CacheFile string
	// Workers is how many files are hashed at once; 0 = GOMAXPROCS.
	Workers int
	// UID and GID are the owner of files and directories that Apply writes. A
	// value of 0 or below leaves what the system gives.
	UID, GID int
	// Log gets what nobody else is told; nil = nothing.
	Log *slog.Logger
}

// Problem says what is wrong with one file or directory.
type Problem struct {
	// Path is relative to the home. Names that cannot travel are written with
	// escapes.
	Path string
	// Class is the class of the difference that the file stands in: "missing",
	// "extra" or "shared"; "" after a scan.
	Class string
	Err   error
}

// String returns the problem as one line.
func (p Problem) String() string { return fmt.Sprintf("%q: %v", p.Path, p.Err) }

// Tree is the synchronised directories of one home. Its methods may be called
// from several goroutines; scans and applications wait for each other where
// they must.
type Tree struct {
	home     string
	opts     Options
	log      *slog.Logger
	root     *os.Root
	dir      *os.File  // the home
	readings sync.Pool // of *reading
	windows  windows
	noBeneath

	scanning sync.Mutex // held by Scan; guards the fields down to cacheBroken
	roots    []itemRoot
	last     *manifest.Manifest
	// dirty says that last is not what the directories below roots hold.
	dirty       bool
	unsaved     int // digests learnt since the cache was written
	saved       time.Time
	cacheBroken bool

	knownMu sync.Mutex
	// known are digests by the state of their files, from the cache file and
	// from Apply, until the next complete scan.
	known map[stamp]manifest.Digest

	watched atomic.Bool  // all directories are being watched
	warned  atomic.Bool  // it was logged that something is not watched
	heard   atomic.Int64 // when something last changed as far as is known, unix nanoseconds
}

// itemRoot is an item and what its directory held at the last scan.
type itemRoot struct {
	item manifest.Item
	dir  *directory
	// nested says that the directory of another item lies inside this one's.
	nested bool
}

// Open opens the synchronised directories of a home, which must exist. The
// directories themselves need not.
func Open(home string, o Options) (*Tree, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, fmt.Errorf("opening the home: %w", err)
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return nil, fmt.Errorf("opening the home: %w", err)
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the home: %w", err), root.Close())
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	t := &Tree{home: home, opts: o, log: o.Log, root: root, dir: dir, last: manifest.Empty()}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.readings.New = func() any { return &reading{hasher: manifest.NewHasher(), block: make([]byte, blockSize)} }
	for _, item := range o.Items.List {
		r := itemRoot{item: item, dir: &directory{path: item.Dir()}}
		for _, other := range o.Items.List {
			r.nested = r.nested || strings.HasPrefix(other.Dir(), item.Dir()+"/")
		}
		t.roots = append(t.roots, r)
	}
	t.known = t.loadCache()
	return t, nil
}

// Close writes what was learnt to the cache file and closes the home. No other
// method may be running.
func (t *Tree) Close() error {
	t.scanning.Lock()
	defer t.scanning.Unlock()
	if t.unsaved > 0 {
		t.saveCache()
	}
	return errors.Join(t.dir.Close(), t.root.Close())
}

// remember notes the digest of a file in a known state for the next scan.
func (t *Tree) remember(s stamp, d manifest.Digest) {
	t.knownMu.Lock()
	defer t.knownMu.Unlock()
	if t.known == nil {
		t.known = map[stamp]manifest.Digest{}
	}
	if len(t.known) < maxKnown {
		t.known[s] = d
	}
}

func (t *Tree) recall(s stamp) (manifest.Digest, bool) {
	t.knownMu.Lock()
	defer t.knownMu.Unlock()
	d, ok := t.known[s]
	return d, ok
}

// own gives the open file or directory to the owner of Options.
func (t *Tree) own(fd int) error {
	if t.opts.UID <= 0 && t.opts.GID <= 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return t.ownAs(fd, &st)
}

// ownAs is own for a file whose state is known.
func (t *Tree) ownAs(fd int, st *unix.Stat_t) error {
	uid, gid := t.opts.UID, t.opts.GID
	if uid <= 0 || uid == int(st.Uid) {
		uid = -1
	}
	if gid <= 0 || gid == int(st.Gid) {
		gid = -1
	}
	if uid == -1 && gid == -1 {
		return nil
	}
	return unix.Fchown(fd, uid, gid)
}

// printable returns a path as it can be shown and sent.
func printable(path string) string {
	quoted := strconv.Quote(path)
	return quoted[1 : len(quoted)-1]
}
