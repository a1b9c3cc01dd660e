package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
)

// errChecksum is the reply to a file_end whose digest is not that of the
// bytes received (docs/wire.md §5.1).
const errChecksum = PlainError("File wasn't correctly received. Checksums aren't equal.")

var (
	// ErrUploadPath is returned when a peer names a file outside its own
	// directory of queue/cluster.
	ErrUploadPath = errors.New("file is not in the peer's own upload directory")
	// ErrUnknownUpload is returned when a path names no file that was uploaded
	// on this session.
	ErrUnknownUpload = errors.New("no such upload")
)

func uploadDir(name string) string { return path.Join("queue/cluster", name) }

var uploadName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,240}$`)

// Upload is a file that a peer has sent, whole and with the digest it
// announced. Whoever took it closes it, which removes the file.
type Upload struct {
	file     *os.File
	home     *os.Root
	path     string // relative to the home
	size     int64
	digest   hash.Hash
	sealed   bool // its bytes come in sealed frames
	sum      [sha256.Size]byte
	number   uint64 // counts the session's uploads
	complete bool
	dropped  bool // nobody will get it
	touched  time.Time
}

// Reader reads the file from its start.
func (u *Upload) Reader() io.Reader { return io.NewSectionReader(u.file, 0, u.size) }

// Size is the file's length in bytes.
func (u *Upload) Size() int64 { return u.size }

// Sum is the SHA-256 of the file's bytes; zero when they came sealed, for then
// nobody computes it.
func (u *Upload) Sum() [sha256.Size]byte { return u.sum }

// Path is the file's path, relative to the home.
func (u *Upload) Path() string { return u.path }

// Close closes and removes the file.
func (u *Upload) Close() error {
	return errors.Join(u.file.Close(), u.home.Remove(u.path))
}

// uploadStore holds the files a peer is sending or has sent and nobody has
// claimed (docs/wire.md §10.2).
type uploadStore struct {
	limits Limits
	home   *os.Root
	dir    string

	mu       sync.Mutex
	files    map[string]*Upload
	progress time.Time     // when the last byte of any upload came
	begun    uint64        // uploads so far
	news     chan struct{} // closed at the next change; nil while nobody waits
	closed   bool
}

// local turns a path of the wire, with or without its leading slash, into
// one relative to the home, and refuses all but plain files of the peer's own
// directory.
func (st *uploadStore) local(wirePath string) (string, error) {
	p := strings.TrimPrefix(wirePath, "/")
	dir, name := path.Split(p)
	if dir != st.dir+"/" || !uploadName.MatchString(name) {
		return "", ErrUploadPath
	}
	return p, nil
}

// prepare makes the peer's directory, with its mode whatever the umask.
func (st *uploadStore) prepare() error {
	if st.home == nil {
		return nil
	}
	if err := st.home.MkdirAll(path.Dir(st.dir), 0o770); err != nil {
		return err
	}
	if err := st.home.Mkdir(st.dir, 0o770); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return st.home.Chmod(st.dir, 0o770)
}

func (st *uploadStore) create(wirePath string) error {
	p, err := st.local(wirePath)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || st.home == nil {
		return ErrClosed
	}
	if len(st.files) >= st.limits.Uploads && !st.evictLocked() {
		return fmt.Errorf("%d uploads open: %w", len(st.files), ErrTooMuch)
	}
	f, err := st.home.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return st.failed("begin upload", err)
	}
	if st.files == nil {
		st.files = make(map[string]*Upload)
	}
	now := time.Now()
	st.begun++
	st.files[p] = &Upload{file: f, home: st.home, path: p, number: st.begun, digest: sha256.New(), touched: now}
	st.changedLocked()
	st.progress = now
	return nil
}

// failed says why a file could not be written. It leaves the file's name out, which
// no two uploads share: who logs the error must see that it is the same again.
func (st *uploadStore) failed(doing string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("%s in %s: %w", doing, st.dir, err)
}

// evictLocked removes the oldest finished upload that nobody claimed: a 4.7.5
// node whose transfer was refused uploads the file all the same
// (docs/wire.md §10.3).
func (st *uploadStore) evictLocked() bool {
	var oldest *Upload
	for _, u := range st.files {
		if u.complete && (oldest == nil || u.touched.Before(oldest.touched)) {
			oldest = u
		}
	}
	if oldest != nil {
		st.dropLocked(oldest)
	}
	return oldest != nil
}

func (st *uploadStore) dropLocked(u *Upload) {
	delete(st.files, u.path)
	u.dropped = true
	st.changedLocked()
	_ = u.Close() // what stays is removed at the next start
}

func (st *uploadStore) find(wirePath string) (*Upload, error) {
	p, err := st.local(wirePath)
	if err != nil {
		return nil, err
	}
	u, ok := st.files[p]
	if !ok {
		return nil, ErrUnknownUpload
	}
	return u, nil
}

func (st *uploadStore) append(wirePath string, chunk []byte, sealed bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, err := st.find(wirePath)
	if err != nil {
		return err
	}
	if u.complete {
		return fmt.Errorf("upload is finished: %w", ErrUnknownUpload)
	}
	if err := u.comes(sealed); err != nil {
		st.dropLocked(u)
		return err
	}
	if u.size+int64(len(chunk)) > st.limits.UploadBytes {
		st.dropLocked(u)
		return fmt.Errorf("file over %d bytes: %w", st.limits.UploadBytes, ErrTooMuch)
	}
	n, err := u.file.Write(chunk)
	u.size += int64(n)
	if err != nil {
		st.dropLocked(u)
		return st.failed("store upload", err)
	}
	st.changedLocked()
	u.digest.Write(chunk)
	u.touched = time.Now()
	st.progress = u.touched
	return nil
}

func (st *uploadStore) finish(wirePath string, sum []byte, sealed bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, err := st.find(wirePath)
	if err != nil {
		return err
	}
	if err := u.comes(sealed); err != nil {
		st.dropLocked(u)
		return err
	}
	computed := u.digest.Sum(nil)
	if !u.sealed {
		u.sum = [sha256.Size]byte(computed)
	}
	u.complete, u.touched = true, time.Now()
	st.progress = u.touched
	if !bytes.Equal(sum, computed) {
		st.dropLocked(u)
		return errChecksum
	}
	st.changedLocked()
	return nil
}

// take hands a finished upload over.
func (st *uploadStore) take(wirePath string) (*Upload, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, err := st.find(wirePath)
	if err != nil {
		return nil, err
	}
	if !u.complete {
		return nil, ErrIncomplete
	}
	delete(st.files, u.path)
	return u, nil
}

func (st *uploadStore) discard(wirePath string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if u, err := st.find(wirePath); err == nil {
		st.dropLocked(u)
	}
}

func (st *uploadStore) lastProgress() time.Time {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.progress
}

func (st *uploadStore) expire(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, u := range st.files {
		if now.Sub(u.touched) > st.limits.UploadAge {
			st.dropLocked(u)
		}
	}
}

func (st *uploadStore) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	for _, u := range st.files {
		st.dropLocked(u)
	}
}

func handleNewFile(_ context.Context, s *Session, payload []byte) (Reply, error) {
	if err := s.uploads.create(string(payload)); err != nil {
		return Reply{}, err
	}
	return OK("Ready to receive new file"), nil
}

func handleFileUpdate(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return updateFile(s, payload, false)
}

func updateFile(s *Session, payload []byte, sealed bool) (Reply, error) {
	name, chunk, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return Reply{}, errors.New("path and chunk expected")
	}
	if err := s.uploads.append(string(name), chunk, sealed); err != nil {
		return Reply{}, err
	}
	return OK("File updated"), nil
}

func handleFileEnd(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return endFile(s, payload, false)
}

func endFile(s *Session, payload []byte, sealed bool) (Reply, error) {
	name, sum, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return Reply{}, errors.New("path and digest expected")
	}
	if err := s.uploads.finish(string(name), sum, sealed); err != nil {
		return Reply{}, err
	}
	return OK("File received correctly"), nil
}
