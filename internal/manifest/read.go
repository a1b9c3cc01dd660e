package manifest

import (
	"fmt"
	"io"
	"slices"
)

// Read reads files_metadata.json of a worker entry by entry: one object of path
// to entry. Memory grows with the entries only, never beyond the limits.
//
// What is not of the described shape is ErrMetadata (and ErrDuplicatePath for a
// path given twice), what exceeds a limit is ErrLimit. Unknown keys of an entry
// are ignored. Entries whose path is not Unicode text are left out: the
// original writes such names in a form that leads to no file. Paths are not
// checked against any item (Items.Check does).
func Read(r io.Reader, l Limits) (*Manifest, error) {
	p := newReader(r, l)
	entries, err := p.entries()
	if err == nil {
		err = p.atEnd()
	}
	if err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	m, err := New(entries)
	if err != nil {
		return nil, fmt.Errorf("reading metadata: %w: %w", ErrMetadata, err)
	}
	return m, nil
}

// ReadDifference reads files_metadata.json of a master: an object with the keys
// missing, extra and shared, each of the shape that Read takes. All three are
// required, other keys are ignored, no path may occur twice. Errors are those
// of Read.
func ReadDifference(r io.Reader, l Limits) (Difference, error) {
	p := newReader(r, l)
	var d Difference
	seen := map[string]bool{}
	err := p.object(maxText, func(key []byte) (err error) {
		var class *[]Entry
		switch string(key) {
		case "missing":
			class = &d.Missing
		case "extra":
			class = &d.Extra
		case "shared":
			class = &d.Shared
		default:
			return p.skip(0)
		}
		name := string(key)
		if seen[name] {
			return p.syntax(name + " given twice")
		}
		seen[name] = true
		*class, err = p.entries()
		return err
	})
	if err == nil {
		err = p.atEnd()
	}
	if err == nil && len(seen) < 3 {
		err = fmt.Errorf("%w: missing, extra and shared are required", ErrMetadata)
	}
	if err == nil {
		err = d.sortAndCheck()
	}
	if err != nil {
		return Difference{}, fmt.Errorf("reading metadata: %w", err)
	}
	return d, nil
}

// sortAndCheck sorts each class and refuses a path that occurs twice.
func (d *Difference) sortAndCheck() error {
	for _, class := range [][]Entry{d.Missing, d.Extra, d.Shared} {
		if !slices.IsSortedFunc(class, byPath) {
			slices.SortFunc(class, byPath)
		}
	}
	if _, err := New(slices.Concat(d.Missing, d.Extra, d.Shared)); err != nil {
		return fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	return nil
}

// reader reads entries by a scanner, and counts them.
type reader struct {
	*scanner
	limits Limits
	count  int
	keys   []string // item keys seen, so that each is kept once
}

func newReader(r io.Reader, l Limits) *reader {
	l = l.withDefaults()
	return &reader{scanner: newScanner(r, l.Bytes), limits: l}
}

func (p *reader) entries() ([]Entry, error) {
	var entries []Entry
	err := p.object(p.limits.PathBytes, func(key []byte) error {
		if p.count++; p.count > p.limits.Entries {
			return fmt.Errorf("%w: more than %d entries", ErrLimit, p.limits.Entries)
		}
		if len(entries) == cap(entries) {
			entries = slices.Grow(entries, max(64, len(entries)))
		}
		entries = append(entries, Entry{Path: string(key), Size: SizeUnknown})
		nameless := key == nil
		err := p.entry(&entries[len(entries)-1])
		if nameless {
			entries = entries[:len(entries)-1]
		}
		return err
	})
	return entries, err
}

// The keys of an entry that were seen, as bits.
const (
	seenModTime = 1 << iota
	seenItemKey
	seenMerged
	seenHash
	required = seenItemKey | seenHash
)

// entry reads the object of one entry into e.
func (p *reader) entry(e *Entry) error {
	seen := 0
	err := p.object(maxText, func(key []byte) (err error) {
		bit := memberBit(key)
		if seen&bit != 0 {
			return p.syntax("a key given twice")
		}
		seen |= bit
		switch bit {
		case seenModTime:
			e.ModTime, err = p.number()
		case seenItemKey:
			e.ItemKey, err = p.itemKey()
		case seenMerged:
			e.Merged, err = p.boolean()
		case seenHash:
			e.Digest, err = p.digest()
		default:
			return p.skip(0)
		}
		return err
	})
	if err == nil && seen&required != required {
		err = p.syntax("entry without cluster_item_key or hash")
	}
	return err
}

// memberBit is the bit of an entry's key, 0 for one that is not read.
func memberBit(key []byte) int {
	switch string(key) {
	case "mod_time":
		return seenModTime
	case "cluster_item_key":
		return seenItemKey
	case "merged":
		return seenMerged
	case "hash":
		return seenHash
	}
	return 0
}

func (p *reader) itemKey() (string, error) {
	text, err := p.text(p.limits.PathBytes)
	if err != nil {
		return "", err
	}
	if text == nil {
		return "", p.syntax("cluster_item_key that is not Unicode")
	}
	for _, k := range p.keys {
		if k == string(text) {
			return k, nil
		}
	}
	key := string(text)
	if len(p.keys) < 64 {
		p.keys = append(p.keys, key)
	}
	return key, nil
}

func (p *reader) digest() (Digest, error) {
	text, err := p.text(maxText)
	if err != nil {
		return Digest{}, err
	}
	d, err := parseDigest(text)
	if err != nil {
		return Digest{}, fmt.Errorf("%w: hash before byte %d: %w", ErrMetadata, p.before+int64(p.pos), err)
	}
	return d, nil
}
