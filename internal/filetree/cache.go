package filetree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"testudo/internal/manifest"
)

// The cache file, all numbers little-endian:
//
//	16 bytes  "testudo-digests" and the version of the form
//	 8 bytes  number of records
//	104 bytes each record: device, inode, size, mtime, ctime (ns), digest
//	64 bytes  BLAKE2b-512 of all before
//
// Devices may be numbered anew at a restart of the machine: then nothing is
// found in it and every file is hashed once.
const (
	cacheMagic   = "testudo-digests\x01"
	cacheHeader  = len(cacheMagic) + 8
	cacheRecord  = 5*8 + manifest.DigestSize
	cacheRecords = 1_000_000
	cacheMode    = 0o600
)

var errCache = errors.New("not a digest cache, or a damaged one")

// loadCache returns what the cache file holds. One that is absent or damaged
// holds nothing.
func (t *Tree) loadCache() map[stamp]manifest.Digest {
	if t.opts.CacheFile == "" {
		return nil
	}
	known, err := t.readCacheFile()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("Digest cache not usable, every file is hashed anew.", "file", t.opts.CacheFile, "error", err)
	}
	return known
}

func (t *Tree) readCacheFile() (map[stamp]manifest.Digest, error) {
	dir, name, err := t.cacheDir()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// A crash may have left it.
	if err := dir.Remove(temporaryName(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readCache(f)
}

// cacheDir opens the directory of the cache file, which may be reached through
// links: its name comes from no peer.
func (t *Tree) cacheDir() (dir *os.Root, name string, err error) {
	path := filepath.Join(t.home, t.opts.CacheFile)
	dir, err = os.OpenRoot(filepath.Dir(path))
	return dir, filepath.Base(path), err
}

// saveCache writes the settled digests. A failure is told once: without the
// cache a restart takes longer, nothing else.
func (t *Tree) saveCache() {
	t.saved, t.unsaved = time.Now(), 0
	if t.opts.CacheFile == "" {
		return
	}
	err := t.replaceCache()
	if err != nil && !t.cacheBroken {
		t.log.Warn("Digest cache not written, a restart will hash every file.", "file", t.opts.CacheFile, "error", err)
	}
	t.cacheBroken = err != nil
	if t.cacheBroken {
		t.unsaved = 1 // tried again after saveEvery
	}
}

// replaceCache writes the cache beside its place and renames it. It is not made
// durable: a damaged one is noticed by its checksum.
func (t *Tree) replaceCache() error {
	dir, name, err := t.cacheDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	temporary := temporaryName(name)
	f, err := dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, cacheMode)
	if err != nil {
		return err
	}
	err = errors.Join(writeCache(f, t.settledFiles()), t.own(int(f.Fd())), f.Close())
	if err == nil {
		err = dir.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(temporary))
	}
	return nil
}

func (t *Tree) settledFiles() []*file {
	var files []*file
	for i := range t.roots {
		t.roots[i].dir.eachFile(func(f *file) {
			if f.entry != nil && f.settled && len(files) < cacheRecords {
				files = append(files, f)
			}
		})
	}
	return files
}

func writeCache(w io.Writer, files []*file) error {
	hasher := manifest.NewHasher()
	out := bufio.NewWriterSize(w, 64<<10)
	all := io.MultiWriter(out, hasher)
	head := binary.LittleEndian.AppendUint64([]byte(cacheMagic), uint64(len(files)))
	if _, err := all.Write(head); err != nil {
		return err
	}
	record := make([]byte, 0, cacheRecord)
	for _, f := range files {
		record = appendRecord(record[:0], f.stamp, f.entry.Digest)
		if _, err := all.Write(record); err != nil {
			return err
		}
	}
	sum := hasher.Digest()
	if _, err := out.Write(sum[:]); err != nil {
		return err
	}
	return out.Flush()
}

func appendRecord(b []byte, s stamp, d manifest.Digest) []byte {
	for _, n := range [5]uint64{s.dev, s.ino, uint64(s.size), uint64(s.mtime), uint64(s.ctime)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return append(b, d[:]...)
}

func readCache(r io.Reader) (map[stamp]manifest.Digest, error) {
	hasher := manifest.NewHasher()
	in := bufio.NewReaderSize(r, 64<<10)
	all := io.TeeReader(in, hasher)
	var head [cacheHeader]byte
	if _, err := io.ReadFull(all, head[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	count := binary.LittleEndian.Uint64(head[len(cacheMagic):])
	if string(head[:len(cacheMagic)]) != cacheMagic || count > cacheRecords {
		return nil, errCache
	}
	known := map[stamp]manifest.Digest{} // grows with what is there, not with what is announced
	var record [cacheRecord]byte
	for range count {
		if _, err := io.ReadFull(all, record[:]); err != nil {
			return nil, fmt.Errorf("%w: %w", errCache, err)
		}
		s, d := parseRecord(record[:])
		known[s] = d
	}
	want := hasher.Digest()
	var sum manifest.Digest
	if _, err := io.ReadFull(in, sum[:]); err != nil || sum != want {
		return nil, errCache
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errCache
	}
	return known, nil
}

func parseRecord(b []byte) (stamp, manifest.Digest) {
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	s := stamp{dev: n(0), ino: n(1), size: int64(n(2)), mtime: int64(n(3)), ctime: int64(n(4))}
	return s, manifest.Digest(b[40:])
}
