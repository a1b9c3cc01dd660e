package manifest

import (
	"slices"
	"strings"
)

// Difference is what a worker has to change to equal its master
// (docs/integrity.md §4.3). Each class is sorted by path.
type Difference struct {
	// Missing are the master's entries that the worker lacks.
	Missing []Entry
	// Extra are the worker's entries that the master lacks.
	Extra []Entry
	// Shared are the master's entries whose content differs at the worker.
	Shared []Entry
}

// Empty tells whether nothing is to be changed.
func (d Difference) Empty() bool { return d.Len() == 0 }

// Len returns the number of entries in the three classes.
func (d Difference) Len() int { return len(d.Missing) + len(d.Extra) + len(d.Shared) }

// Compare returns what the worker lacks, has too much and has differently.
// Only paths and digests count. Entries of extra-valid items are not treated
// specially (SpareItems does). The difference may share its memory with the
// manifests: its entries must not be changed.
func Compare(master, worker *Manifest) Difference {
	m, w := master.entries, worker.entries
	missing, extra, shared := picked{from: m}, picked{from: w}, picked{from: m}
	i, j := 0, 0
	for i < len(m) && j < len(w) {
		switch c := strings.Compare(m[i].Path, w[j].Path); {
		case c < 0:
			missing.add(i, i+1)
			i++
		case c > 0:
			extra.add(j, j+1)
			j++
		default:
			if m[i].Digest != w[j].Digest {
				shared.add(i, i+1)
			}
			i, j = i+1, j+1
		}
	}
	missing.add(i, len(m))
	extra.add(j, len(w))
	return Difference{Missing: missing.entries(), Extra: extra.entries(), Shared: shared.entries()}
}

// picked are some of a manifest's entries. Those that follow one another there,
// as for a worker that has nothing yet, are not copied: ten workers that come
// at once would need ten copies of all entries.
type picked struct {
	from       []Entry
	start, end int     // the one run of entries, while there is only one
	list       []Entry // all of them, when there are several runs
}

// add picks the entries from i to before j, which come after those picked.
func (p *picked) add(i, j int) {
	switch {
	case i == j:
	case p.list != nil:
		p.list = append(p.list, p.from[i:j]...)
	case p.start == p.end:
		p.start, p.end = i, j
	case p.end == i:
		p.end = j
	default:
		p.list = append(append(p.list, p.from[p.start:p.end]...), p.from[i:j]...)
	}
}

func (p *picked) entries() []Entry {
	if p.list != nil || p.start == p.end {
		return p.list
	}
	return p.from[p.start:p.end:p.end]
}

// Spare returns the difference without those extra entries whose path is in
// paths or lies below a directory in directories (both relative to the home).
// It keeps what a master cannot read at the moment from being deleted at its
// workers.
func (d Difference) Spare(paths, directories []string) Difference {
	if len(d.Extra) == 0 || len(paths)+len(directories) == 0 {
		return d
	}
	paths = slices.Sorted(slices.Values(paths))
	return d.spare(func(e Entry) bool {
		if _, found := slices.BinarySearch(paths, e.Path); found {
			return true
		}
		return slices.ContainsFunc(directories, func(dir string) bool {
			rest, inside := strings.CutPrefix(e.Path, strings.TrimSuffix(dir, "/"))
			return inside && strings.HasPrefix(rest, "/")
		})
	})
}

// SpareItems returns the difference without the extra entries of extra-valid
// items: those files belong to the worker.
func (d Difference) SpareItems(it Items) Difference {
	var keys []string
	for i := range it.List {
		if it.List[i].ExtraValid {
			keys = append(keys, it.List[i].Key)
		}
	}
	if len(keys) == 0 {
		return d
	}
	return d.spare(func(e Entry) bool { return slices.Contains(keys, e.ItemKey) })
}

func (d Difference) spare(spared func(Entry) bool) Difference {
	if slices.ContainsFunc(d.Extra, spared) {
		d.Extra = slices.DeleteFunc(slices.Clone(d.Extra), spared)
	}
	return d
}
