// Package manifest holds the words of the file synchronisation: what a tree of
// synchronised files contains (entries and their digests), which directories
// are synchronised at all (items), and how two trees differ. It is pure: it
// reads and writes no file, and every value it hands out may be shared.
//
// The JSON shapes are those of files_metadata.json (docs/integrity.md §3 and
// §5.1).
package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// ErrDuplicatePath is returned when a manifest would hold one path twice.
var ErrDuplicatePath = errors.New("path given twice")

// SizeUnknown is the Size of an entry that came over the wire, where sizes do
// not travel.
const SizeUnknown int64 = -1

// Entry says what one synchronised file is at one node.
type Entry struct {
	// Path is relative to the home, clean and slash-separated:
	// "etc/rules/local_rules.xml".
	Path string
	// ItemKey is the key of the item that the file belongs to: "etc/rules/".
	ItemKey string
	// ModTime is the modification time in Unix seconds. It informs only and is
	// never compared between nodes.
	ModTime float64
	// Digest is the BLAKE2b-512 of the content.
	Digest Digest
	// Merged is what a peer said of the file (docs/integrity.md §3). This node
	// treats merged files as ordinary ones and never writes true.
	Merged bool
	// Size is the length of the content in bytes, SizeUnknown when the entry
	// came from a peer.
	Size int64
}

// Manifest is the content of one tree: entries sorted by path, each path once.
// It never changes after New and may be read by many goroutines.
type Manifest struct {
	entries []Entry
	sum     func() Digest
}

// New makes a manifest of the entries, which it takes over and sorts by path
// (byte order). A path given twice is ErrDuplicatePath.
func New(entries []Entry) (*Manifest, error) {
	if !slices.IsSortedFunc(entries, byPath) {
		slices.SortFunc(entries, byPath)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Path == entries[i-1].Path {
			return nil, fmt.Errorf("building a manifest: %q: %w", entries[i].Path, ErrDuplicatePath)
		}
	}
	m := &Manifest{entries: entries}
	m.sum = sync.OnceValue(m.computeSum)
	return m, nil
}

// Empty returns a manifest without entries.
func Empty() *Manifest {
	m := &Manifest{}
	m.sum = sync.OnceValue(m.computeSum)
	return m
}

// Len returns the number of entries.
func (m *Manifest) Len() int { return len(m.entries) }

// Entries returns all entries, sorted by path. The slice is shared: it must not
// be changed.
func (m *Manifest) Entries() []Entry { return m.entries }

// Lookup returns the entry of a path.
func (m *Manifest) Lookup(path string) (Entry, bool) {
	i, found := m.index(path)
	if !found {
		return Entry{}, false
	}
	return m.entries[i], true
}

// Sum returns one digest of the whole tree: over path, item key and digest of
// each entry, not over modification times or sizes. Two manifests with equal
// sums need no synchronisation. It is computed at the first call only.
func (m *Manifest) Sum() Digest { return m.sum() }

func (m *Manifest) computeSum() Digest {
	h := NewHasher()
	buf := make([]byte, 0, 512)
	for i := range m.entries {
		e := &m.entries[i]
		buf = binary.AppendUvarint(buf[:0], uint64(len(e.Path)))
		buf = append(buf, e.Path...)
		buf = binary.AppendUvarint(buf, uint64(len(e.ItemKey)))
		buf = append(buf, e.ItemKey...)
		buf = append(buf, e.Digest[:]...)
		_, _ = h.Write(buf)
	}
	return h.Digest()
}

func (m *Manifest) index(path string) (int, bool) {
	return slices.BinarySearchFunc(m.entries, path, func(e Entry, p string) int {
		return strings.Compare(e.Path, p)
	})
}

func byPath(a, b Entry) int { return strings.Compare(a.Path, b.Path) }
