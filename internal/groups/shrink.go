package groups

import (
	"slices"
	"time"
)

// shrinkWait is how long nothing is written into a group's directory after a
// file has gone from it: it may be about to go altogether, and who removes it
// must not find a new file there.
const shrinkWait = 2 * time.Second

// waits tells whether a group's directory is to be left alone for now. present
// says that its merged.mg is there.
func (s *scan) waits(t, before *tree, present bool) bool {
	if before != nil {
		t.until = before.until
		if before.lost(t) || before.merged && !present {
			t.until = s.now.Add(s.shrinkWait)
		}
	}
	t.merged = present
	if !s.now.Before(t.until) {
		return false
	}
	s.result.waiting = true
	return true
}

// lost tells whether a file of the tree is not in a later one.
func (t *tree) lost(later *tree) bool {
	if len(later.files) < len(t.files) {
		return true
	}
	names := make(map[string]bool, len(later.files))
	for _, f := range later.files {
		names[f.name] = true
	}
	return slices.ContainsFunc(t.files, func(f file) bool { return !names[f.name] })
}
