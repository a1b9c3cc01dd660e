package integrity

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

// Pictures are made while they are walked: of each of many workers one may be
// waiting to be written, and most are replaced by a newer one before.

// pictureOf is the state of each file at a worker: what differs is pending, or
// failed where a reason is known. Its arguments must not change any more.
func pictureOf(node string, g *generation, d manifest.Difference, why map[string]string) iter.Seq[filestate.Row] {
	return func(yield func(filestate.Row) bool) {
		missing, shared := d.Missing, d.Shared
		at := func(e manifest.Entry) filestate.Row {
			row := filestate.Row{Node: node, File: e.Path, State: filestate.Synchronized, Digest: e.Digest}
			if next(&missing, e.Path) || next(&shared, e.Path) {
				row.State = filestate.Pending
				if reason, failed := why[e.Path]; failed {
					row.State, row.Reason = filestate.Failed, reason
				}
			}
			return row
		}
		mergeRows(g.manifest.Entries(), at, otherRows(node, g, d, why), yield)
	}
}

// ownRows is the picture of the node's own files: what it has it has, what it
// cannot read has failed.
func ownRows(node string, g *generation) iter.Seq[filestate.Row] {
	return pictureOf(node, g, manifest.Difference{}, nil)
}

// next takes the first entry off a sorted list when it has the path.
func next(list *[]manifest.Entry, path string) bool {
	found := len(*list) > 0 && (*list)[0].Path == path
	if found {
		*list = (*list)[1:]
	}
	return found
}

// otherRows are the files that the master does not have, or cannot read.
func otherRows(node string, g *generation, d manifest.Difference, why map[string]string) []filestate.Row {
	rows := failedRows(node, g)
	for _, e := range d.Extra {
		rows = append(rows, filestate.Row{Node: node, File: e.Path, State: filestate.ToBeDeleted, Reason: why[e.Path], Digest: e.Digest})
	}
	slices.SortFunc(rows, func(a, b filestate.Row) int { return cmp.Compare(a.File, b.File) })
	return rows
}

// mergeRows walks the rows of entries and others, both sorted, in one order.
func mergeRows(entries []manifest.Entry, at func(manifest.Entry) filestate.Row, others []filestate.Row, yield func(filestate.Row) bool) {
	for _, e := range entries {
		for len(others) > 0 && others[0].File < e.Path {
			if !yield(others[0]) {
				return
			}
			others = others[1:]
		}
		if !yield(at(e)) {
			return
		}
	}
	for _, row := range others {
		if !yield(row) {
			return
		}
	}
}

// failedRows are the files that the master cannot read. One that changes all
// the time is in the manifest as well, as it was last.
func failedRows(node string, g *generation) []filestate.Row {
	var rows []filestate.Row
	for path, reason := range g.unreadable {
		if _, known := g.manifest.Lookup(path); known {
			continue
		}
		rows = append(rows, filestate.Row{Node: node, File: path, State: filestate.Failed, Reason: reason})
	}
	return rows
}

// rowsAfter is a worker's own picture after a package.
func rowsAfter(node string, own *manifest.Manifest, diff manifest.Difference, problems []filetree.Problem) []filestate.Row {
	why := make(map[string]string, len(problems))
	for _, p := range problems {
		why[p.Path] = p.Err.Error()
	}
	gone := make(map[string]bool)
	for _, e := range diff.Extra {
		gone[e.Path] = why[e.Path] == ""
	}
	picture := make(map[string]filestate.Row, own.Len())
	for _, e := range own.Entries() {
		if !gone[e.Path] {
			picture[e.Path] = filestate.Row{Node: node, File: e.Path, State: filestate.Synchronized, Digest: e.Digest}
		}
	}
	for _, entries := range [][]manifest.Entry{diff.Missing, diff.Shared} {
		for _, e := range entries {
			row := filestate.Row{Node: node, File: e.Path, State: filestate.Synchronized, Digest: e.Digest}
			if reason, failed := why[e.Path]; failed {
				row.State, row.Reason = filestate.Failed, reason
			}
			picture[e.Path] = row
		}
	}
	for path, reason := range why {
		if row, ok := picture[path]; ok && row.State == filestate.Synchronized {
			row.State, row.Reason = filestate.ToBeDeleted, reason
			picture[path] = row
		}
	}
	rows := slices.Collect(maps.Values(picture))
	slices.SortFunc(rows, func(a, b filestate.Row) int { return cmp.Compare(a.File, b.File) })
	return rows
}
