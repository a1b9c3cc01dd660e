package filestate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"testudo/internal/manifest"
)

// State says how far a node is with a file.
type State string

// The four states of a file at a node.
const (
	Synchronized State = "synchronized"  // as on the master
	Pending      State = "pending"       // differs; on its way or waiting for its turn
	Failed       State = "failed"        // differs, and Row.Reason says why it stays so
	ToBeDeleted  State = "to be deleted" // not on the master
)

// States lists all states in the order in which people read them.
func States() []State { return []State{Synchronized, Pending, Failed, ToBeDeleted} }

// Valid reports whether s is one of the four states.
func (s State) Valid() bool {
	switch s {
	case Synchronized, Pending, Failed, ToBeDeleted:
		return true
	}
	return false
}

// ErrPicture is returned by Flush, and logged, when the rows given to Set are
// not strictly ascending by file or hold an unknown state. The picture is
// dropped; the node's rows stay as they were.
var ErrPicture = errors.New("unusable picture of a node's files")

// reasonBytes bounds the text of a row; longer reasons are cut.
const reasonBytes = 1024

// Row is one file at one node.
type Row struct {
	Node   string
	File   string // relative to the home, slashes
	State  State
	Reason string          // why the file failed; cut at 1024 bytes
	Digest manifest.Digest // of the content the node should have, of its own when to be deleted; zero when unknown
	Since  time.Time       // when this combination of state, digest and reason began
}

// cleanReason makes a reason fit for the database.
func cleanReason(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= reasonBytes {
		return s
	}
	cut := reasonBytes
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// summary is what is remembered of a picture to know it again.
type summary struct {
	fingerprint uint64
	counts      map[State]int
	rows        int
}

// summarise walks a picture once, checking it.
func summarise(seed maphash.Seed, rows iter.Seq[Row]) (summary, error) {
	sum := summary{counts: make(map[State]int, 4)}
	var h maphash.Hash
	h.SetSeed(seed)
	previous := ""
	for r := range rows {
		if r.File <= previous {
			return summary{}, fmt.Errorf("%w: %q follows %q", ErrPicture, r.File, previous)
		}
		if !r.State.Valid() {
			return summary{}, fmt.Errorf("%w: %q has state %q", ErrPicture, r.File, r.State)
		}
		previous = r.File
		sum.counts[r.State]++
		sum.rows++
		var head [9]byte // lengths keep neighbours apart; the four states begin with four letters
		binary.BigEndian.PutUint32(head[0:], uint32(len(r.File)))
		binary.BigEndian.PutUint32(head[4:], uint32(len(r.Reason)))
		head[8] = r.State[0]
		h.Write(head[:])
		h.WriteString(r.File)
		h.Write(r.Digest[:])
		h.WriteString(r.Reason)
	}
	sum.fingerprint = h.Sum64()
	return sum, nil
}
