package filetree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// attempts is how often a file that changes while it is read is read again.
const attempts = 3

// handle is an open directory that a walk and the hashing of its files share.
// The last of them closes it.
type handle struct {
	fd   int
	refs atomic.Int32
}

func newHandle(fd int) *handle {
	h := &handle{fd: fd}
	h.refs.Store(1)
	return h
}

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		unix.Close(h.fd)
	}
}

// hashed is a content: its digest, and the state of its file at that time.
type hashed struct {
	stamp   stamp
	settled bool
	digest  manifest.Digest
}

// job is one file to be hashed.
type job struct {
	dir  *directory
	file *file
	link bool
	key  string

	result hashed
	reads  int
	bytes  int64
	err    error
}

func (j *job) path() string { return j.dir.path + "/" + j.file.name }

// hashPool hashes files while the walk goes on, a few at a time. Results are in
// jobs after wait.
type hashPool struct {
	ctx   context.Context
	tree  *Tree
	group errgroup.Group
	jobs  []*job
}

func newHashPool(ctx context.Context, t *Tree) *hashPool {
	p := &hashPool{ctx: ctx, tree: t}
	p.group.SetLimit(t.opts.Workers)
	return p
}

// add has a file of an open directory hashed. It waits while too many are.
func (p *hashPool) add(dir *handle, j job) {
	dir.refs.Add(1)
	p.jobs = append(p.jobs, &j)
	p.group.Go(func() error {
		defer dir.release()
		j.err = p.tree.hash(p.ctx, dir.fd, &j)
		return nil
	})
}

// wait returns when all jobs are done.
func (p *hashPool) wait() { _ = p.group.Wait() }

// hash reads a file until it stays the same during the reading.
func (t *Tree) hash(ctx context.Context, dirfd int, j *job) error {
	flags := openFileFlags
	if !j.link {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := openat(dirfd, j.file.name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	s := t.newReading()
	defer t.endReading(s)
	for range attempts {
		same, err := s.read(ctx, t, fd, j)
		if same || err != nil {
			return err
		}
		if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
			return err
		}
	}
	return ErrChanging
}

// reading is what is needed to read one file after the other.
type reading struct {
	hasher *manifest.Hasher
	block  []byte
}

func (t *Tree) newReading() *reading { return t.readings.Get().(*reading) }

func (t *Tree) endReading(r *reading) { t.readings.Put(r) }

// read hashes an open file and tells whether it stayed the same. One of which we
// know a beginning and that is only being appended to counts as it was when we
// began: of client.keys, while many agents enrol, there would be nothing else.
func (r *reading) read(ctx context.Context, t *Tree, fd int, j *job) (same bool, err error) {
	now := time.Now()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false, ErrNotRegular
	}
	before := stampOf(&st)
	r.hasher.Reset()
	j.reads++
	appended, known := false, j.file.beginning(before.size)
	// Not further than the file was long: what is behind it is another reading's.
	for left := before.size; left > 0; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		part := min(left, int64(len(r.block)))
		if done := before.size - left; known != nil && done < known.Size {
			part = min(part, known.Size-done)
		}
		n, err := unix.Read(fd, r.block[:part])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("reading: %w", err)
		}
		if n == 0 {
			break
		}
		_, _ = r.hasher.Write(r.block[:n])
		j.bytes += int64(n)
		left -= int64(n)
		if known != nil && before.size-left == known.Size {
			appended = r.hasher.Digest() == known.Digest
		}
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	after := stampOf(&st)
	grown := appended && after.size > before.size && after.ino == before.ino && after.dev == before.dev
	if after != before && !grown {
		return false, nil
	}
	settled := after == before && t.windows.settled(before, now, fd)
	j.result = hashed{stamp: before, settled: settled, digest: r.hasher.Digest()}
	return true, nil
}

// beginning is the file's last entry, if what it was could be the beginning of a
// content of so many bytes.
func (f *file) beginning(size int64) *manifest.Entry {
	if e := f.entry; e != nil && e.Size > 0 && e.Size < size {
		return e
	}
	return nil
}
