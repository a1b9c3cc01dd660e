package manifest

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPath and MaxName bound a path and each name in it, in bytes. They are
// those of Linux, less what a temporary name beside the file needs.
const (
	MaxPath = 4000
	MaxName = 255
)

// PathError says why a path may not be synchronised.
type PathError struct {
	Path   string
	Reason string // fixed words, never a part of the path
}

// Error quotes the path, which may come from a peer.
func (e *PathError) Error() string { return fmt.Sprintf("path %.256q: %s", e.Path, e.Reason) }

// CheckPath tells whether a path has the form of a synchronised path, whatever
// the items are: relative, clean, slash-separated valid UTF-8 without control
// characters, bounded by MaxPath and MaxName. Otherwise it returns a
// *PathError.
func CheckPath(path string) error {
	if reason := formReason(path); reason != "" {
		return &PathError{Path: path, Reason: reason}
	}
	return nil
}

// Match returns the item that a file belongs to: the one with the longest key
// that accepts it. A path that no item accepts, or that is no good path, is a
// *PathError.
func (it Items) Match(path string) (Item, error) {
	if err := CheckPath(path); err != nil {
		return Item{}, err
	}
	best, why := -1, "outside every synchronised directory"
	for i := range it.List {
		inside, reason := it.refusal(&it.List[i], path)
		switch {
		case inside && reason != "":
			why = reason
		case inside && (best < 0 || len(it.List[i].Key) > len(it.List[best].Key)):
			best = i
		}
	}
	if best < 0 {
		return Item{}, &PathError{Path: path, Reason: why}
	}
	return it.List[best], nil
}

// Check tells whether an entry of a peer may be acted upon: its path is a good
// one and the item that it names exists and accepts it. Otherwise it returns a
// *PathError.
func (it Items) Check(e Entry) error {
	if err := CheckPath(e.Path); err != nil {
		return err
	}
	for i := range it.List {
		if it.List[i].Key != e.ItemKey {
			continue
		}
		inside, reason := it.refusal(&it.List[i], e.Path)
		if !inside {
			reason = "outside the directory of its cluster_item_key"
		}
		if reason != "" {
			return &PathError{Path: e.Path, Reason: reason}
		}
		return nil
	}
	return &PathError{Path: e.Path, Reason: "unknown cluster_item_key"}
}

// refusal tells whether the path is inside the item's directory, and if it is,
// why the item does not accept it ("" = it does).
func (it Items) refusal(item *Item, path string) (inside bool, reason string) {
	dir := item.Dir()
	if len(path) <= len(dir)+1 || path[len(dir)] != '/' || path[:len(dir)] != dir {
		return false, ""
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case !item.Recursive && len(name) != len(path)-len(dir)-1:
		return true, "below a directory that is not synchronised recursively"
	case !item.lists(name):
		return true, "not among the files of its directory that are synchronised"
	case it.Excluded(name):
		return true, "excluded from synchronisation"
	}
	return true, ""
}

func formReason(path string) string {
	switch {
	case path == "":
		return "empty"
	case len(path) > MaxPath:
		return "too long"
	case path[0] == '/':
		return "absolute"
	}
	start := 0
	for i := 0; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if reason := nameReason(path[start:i]); reason != "" {
				return reason
			}
			start = i + 1
		}
	}
	return ""
}

func nameReason(name string) string {
	switch {
	case name == "" || name == ".":
		return "not clean"
	case name == "..":
		return "leads upwards"
	case len(name) > MaxName:
		return "a name in it is too long"
	}
	plain := true
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return ""
	}
	if !utf8.ValidString(name) {
		return "not valid UTF-8"
	}
	if strings.IndexFunc(name, unicode.IsControl) >= 0 {
		return "holds a control character"
	}
	return ""
}
