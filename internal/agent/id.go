package agent

import (
	"errors"
	"fmt"
	"math"
)

// ErrID is returned when a text is no agent id.
var ErrID = errors.New("no agent id")

// ID is the number of an agent. 0 is the manager itself; agents that enrolled
// have 1 and above. Negative values occur only as a position before the first
// agent when pages are read.
type ID int32

// Manager is the id under which a node keeps itself.
const Manager ID = 0

// maxIDLength bounds the text of an id, leading zeros included.
const maxIDLength = 32

// String is the decimal number with at least three digits: "007".
func (id ID) String() string { return fmt.Sprintf("%03d", int32(id)) }

// ParseID reads a decimal number without sign; leading zeros are allowed. The
// error is ErrID for anything else and for numbers above 2147483647.
func ParseID(text string) (ID, error) {
	if text == "" || len(text) > maxIDLength {
		return 0, ErrID
	}
	var n int64
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, ErrID
		}
		if n = n*10 + int64(c-'0'); n > math.MaxInt32 {
			return 0, ErrID
		}
	}
	return ID(n), nil
}
