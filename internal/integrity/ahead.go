package integrity

import (
	"slices"
	"sync/atomic"

	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

// Ahead is a file that a worker adds to before the master's copy of it comes:
// client.keys, with the keys that the master has just given to agents there.
type Ahead struct {
	Path string
	// Is tells whether the file is as the master gave it but for what was added.
	Is func() bool // nil: there is no such file
}

// ahead is what a worker knows of such a file.
type ahead struct {
	Ahead
	given atomic.Pointer[manifest.Digest] // of the master's copy that came last

	// Of the last manifest in which the master's copy stands for the file.
	of     *manifest.Manifest
	as     manifest.Digest
	behind *manifest.Manifest
}

// compared is the manifest that is compared with the master's: a file that is
// ahead counts as the copy that it began as. Else each agent that enrols would
// fetch the whole file, and a copy without its key.
func (a *ahead) compared(own *manifest.Manifest) *manifest.Manifest {
	given := a.given.Load()
	if a.Is == nil || given == nil {
		return own
	}
	entry, found := own.Lookup(a.Path)
	if !found || entry.Digest == *given || !a.Is() {
		return own
	}
	if a.of != own || a.as != *given {
		entries := slices.Clone(own.Entries())
		for i := range entries {
			if entries[i].Path == a.Path {
				entries[i].Digest = *given
			}
		}
		m, err := manifest.New(entries)
		if err != nil {
			return own
		}
		a.of, a.as, a.behind = own, *given, m
	}
	return a.behind
}

// inStep takes down that a manifest is the master's.
func (a *ahead) inStep(m *manifest.Manifest) {
	if a.Is == nil {
		return
	}
	if entry, found := m.Lookup(a.Path); found {
		a.given.Store(&entry.Digest)
	} else {
		a.given.Store(nil)
	}
}

// applied takes down what a package has brought.
func (a *ahead) applied(diff manifest.Difference, problems []filetree.Problem) {
	is := func(e manifest.Entry) bool { return e.Path == a.Path }
	if a.Is == nil || slices.ContainsFunc(problems, func(p filetree.Problem) bool { return p.Path == a.Path }) {
		return
	}
	for _, list := range [][]manifest.Entry{diff.Missing, diff.Shared} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			digest := list[i].Digest
			a.given.Store(&digest)
		}
	}
	if slices.ContainsFunc(diff.Extra, is) {
		a.given.Store(nil)
	}
}
