package config

import "fmt"

// kind is what a value in a JSON or YAML file is.
type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "an object"}[k]
}

// node is a value of a JSON or YAML file with the line where it stands.
type node struct {
	kind    kind
	line    int
	text    string // of a text its content, of a number or truth value what is written
	list    []*node
	members []member
}

// member is one key of an object; keys are unique once a file has been read.
type member struct {
	key   string
	line  int
	value *node
}

// Bounds of what is read. The files are written by hand and small.
const (
	maxFileBytes = 1 << 20
	maxDepth     = 16
	maxMembers   = 1000 // keys of one object
)

// lineError is a fault of a file's form, before its meaning is looked at. Its
// text leaves the line to whoever reports it.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

// addMember adds to an object, unless the key is there already.
func (n *node) addMember(key string, line int, value *node) error {
	for _, m := range n.members {
		if m.key == key {
			return &lineError{line, fmt.Sprintf("key %q is given twice, first on line %d", key, m.line)}
		}
	}
	if len(n.members) >= maxMembers {
		return &lineError{line, fmt.Sprintf("more than %d keys in one object", maxMembers)}
	}
	n.members = append(n.members, member{key, line, value})
	return nil
}
