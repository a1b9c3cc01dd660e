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
// specially (SpareItems does).
func Compare(master, worker *Manifest) Difference {
	var d Difference
	m, w := master.entries, worker.entries
	for len(m) > 0 && len(w) > 0 {
		switch c := strings.Compare(m[0].Path, w[0].Path); {
		case c < 0:
			d.Missing = append(d.Missing, m[0])
			m = m[1:]
		case c > 0:
			d.Extra = append(d.Extra, w[0])
			w = w[1:]
		default:
			if m[0].Digest != w[0].Digest {
				d.Shared = append(d.Shared, m[0])
			}
			m, w = m[1:], w[1:]
		}
	}
	d.Missing = append(d.Missing, m...)
	d.Extra = append(d.Extra, w...)
	return d
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
