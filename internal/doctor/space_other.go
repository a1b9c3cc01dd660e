//go:build !linux

package doctor

import "errors"

// spaceOf tells the room of the file system of a path; not known here.
func spaceOf(string) (device uint64, s space, err error) {
	return 0, space{}, errors.ErrUnsupported
}
