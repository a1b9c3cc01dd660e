package cluster

import (
	"fmt"
	"regexp"

	"testudo/internal/fault"
)

var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$`)

// CheckName says whether a worker's name can be used: it becomes a directory,
// a part of file names and a key in log lines and queues (docs/wire.md §11,
// row 7). The name "master" ends a 4.7.5 master and is refused as well.
func CheckName(name string) error {
	if !nodeName.MatchString(name) {
		return fault.New(fault.Unspecified, fmt.Sprintf("node name %.64q: 1 to 128 letters, digits, '_', '.', '-' and no leading dot", name))
	}
	if name == "master" {
		return fault.New(fault.Unspecified, `node name "master" is reserved`)
	}
	return nil
}
