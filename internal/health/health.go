// Package health is the board on which the parts of a node put up what is
// wrong with it, in words an operator can act on, until it is right again.
package health

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Severity says how bad a condition is.
type Severity int

const (
	// Warning is a condition with which the node still does all of its work.
	Warning Severity = iota + 1
	// Critical is a condition with which it does not.
	Critical
)

// String is the severity in lower case.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return fmt.Sprintf("severity %d", int(s))
}

// MarshalJSON writes the severity as its word.
func (s Severity) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads the word of a severity.
func (s *Severity) UnmarshalJSON(data []byte) error {
	var word string
	if err := json.Unmarshal(data, &word); err != nil {
		return fmt.Errorf("read severity: %w", err)
	}
	for _, known := range []Severity{Warning, Critical} {
		if word == known.String() {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("read severity: %q is none", word)
}

// maxConditions bounds the board: names may hold the name of a peer.
const maxConditions = 256

// Condition is one thing that is wrong.
type Condition struct {
	Name     string    `json:"name"`   // stable, for machines: "master-unreachable"
	Detail   string    `json:"detail"` // what is wrong, one sentence
	Remedy   string    `json:"remedy"` // what to do about it, one sentence
	Severity Severity  `json:"severity"`
	Since    time.Time `json:"since"`
}

// Board holds the conditions of one node. A nil *Board forgets everything put
// on it. It is safe for concurrent use.
type Board struct {
	mu         sync.Mutex
	conditions map[string]Condition
}

// New makes an empty board.
func New() *Board {
	return &Board{conditions: make(map[string]Condition)}
}

// Raise puts the condition up, or brings it up to date: its Since stays that
// of the first time. A full board (256 conditions) takes no new warnings; for a
// critical condition it drops the youngest warning.
func (b *Board) Raise(name string, severity Severity, detail, remedy string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	since := time.Now()
	if old, ok := b.conditions[name]; ok {
		since = old.Since
	} else if len(b.conditions) >= maxConditions && !b.makeRoomLocked(severity) {
		return
	}
	b.conditions[name] = Condition{Name: name, Detail: detail, Remedy: remedy, Severity: severity, Since: since}
}

// makeRoomLocked tells whether a new condition of the severity has a place now.
func (b *Board) makeRoomLocked(severity Severity) bool {
	if severity < Critical {
		return false
	}
	sorted := b.sortedLocked()
	last := sorted[len(sorted)-1]
	if last.Severity >= Critical {
		return false
	}
	delete(b.conditions, last.Name)
	return true
}

// Clear takes the condition down; one that is not up is no matter.
func (b *Board) Clear(name string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conditions, name)
}

// All lists the conditions that are up: the most severe first, of these the
// oldest first. The list is the caller's.
func (b *Board) All() []Condition {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sortedLocked()
}

func (b *Board) sortedLocked() []Condition {
	list := make([]Condition, 0, len(b.conditions))
	for _, c := range b.conditions {
		list = append(list, c)
	}
	slices.SortFunc(list, func(x, y Condition) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), x.Since.Compare(y.Since), cmp.Compare(x.Name, y.Name))
	})
	return list
}

// Worst is the highest severity on the board, 0 when nothing is wrong.
func (b *Board) Worst() Severity {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var worst Severity
	for _, c := range b.conditions {
		worst = max(worst, c.Severity)
	}
	return worst
}
