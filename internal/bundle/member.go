package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// MetadataName is the path of the member that describes the others. It is the
// last one here; receivers take it anywhere.
const MetadataName = "files_metadata.json"

const (
	pathSeparator = "|//@@//|"
	fileSeparator = "|@@//@@|"
	// In both separators '|' is the first and the last byte and nowhere else.
	// So two overlap by one byte at most, and a search that fails inside a
	// separator need not go back.
	separatorSize = len(fileSeparator)
)

var (
	// ErrPath is returned when a path cannot be that of a member: not clean and
	// relative, not UTF-8, or with a separator in it.
	ErrPath = errors.New("no path of a member")
	// ErrMalformed is returned when bytes are not a package: a member without
	// a path or with a broken zlib stream, a cut package, an empty one.
	ErrMalformed = errors.New("malformed package")
	// ErrDuplicate is returned when two members have the same path.
	ErrDuplicate = errors.New("two members of one path")
)

// MemberSize is what a member counts towards the limit of a package
// (docs/integrity.md §5.4): its path, both separators and packed compressed
// bytes.
func MemberSize(path string, packed int64) int64 {
	return int64(len(path)) + 2*int64(separatorSize) + packed
}

// CheckPath tells whether path can be that of a member; the error is ErrPath.
// A file of another name cannot be sent, and would spoil the whole package.
func CheckPath(path string) error {
	if !fs.ValidPath(path) || path == "." || strings.ContainsRune(path, 0) {
		return fmt.Errorf("%w: %q", ErrPath, path)
	}
	// A receiver cuts at the first separators it sees, which may begin in the
	// path and end in the separator behind it.
	whole := path + pathSeparator
	if strings.Index(whole, pathSeparator) != len(path) || strings.Contains(whole, fileSeparator) {
		return fmt.Errorf("%w, it holds a separator: %q", ErrPath, path)
	}
	return nil
}
