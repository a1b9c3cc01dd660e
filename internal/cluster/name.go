package cluster

import (
	"fmt"
	"regexp"

	"testudo/internal/fault"
	"testudo/internal/session"
)

var (
	nodeName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$`)
	nodeType = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
)

// reserved names are good ones that must not be a worker's: "master" ends a
// 4.7.5 master (docs/wire.md §11, row 7), and the other is the local socket,
// which lies where the workers' directories do.
var reserved = map[string]bool{"master": true, "c-internal.sock": true}

// CheckName says whether a worker's name can be used: it becomes a directory,
// a part of file names and a key in log lines and queues.
func CheckName(name string) error {
	if !nodeName.MatchString(name) {
		return fault.New(fault.Unspecified, fmt.Sprintf("node name %.64q: 1 to 128 letters, digits, '_', '.', '-' and no leading dot", name))
	}
	if reserved[name] {
		return fault.New(fault.Unspecified, fmt.Sprintf("node name %q is reserved", name))
	}
	return nil
}

// check compares a hello with what this master is (docs/wire.md §6), in the
// order of the original but for the question whether the name is in use. Of a
// name in use that, too, is said first; only a hello that is right otherwise
// gets the old connection probed.
func (m *Master) check(h session.Hello) error {
	if h.Name == m.cfg.NodeName {
		return fault.New(fault.SameAsMaster, nil)
	}
	if err := CheckName(h.Name); err != nil {
		return err
	}
	var err error
	switch {
	case h.Cluster != m.cfg.Cluster:
		err = fault.New(fault.WrongCluster, nil)
	case h.Version != m.cfg.Version:
		err = fault.New(fault.WrongVersion, nil)
	case !nodeType.MatchString(h.Type):
		err = fault.New(fault.Unspecified, fmt.Sprintf("node type %.32q: 1 to 32 letters, digits, '_', '-'", h.Type))
	}
	if err != nil && m.members.has(h.Name) {
		return fault.New(fault.DuplicateName, h.Name)
	}
	return err
}
