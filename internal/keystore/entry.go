package keystore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"testudo/internal/agent"
)

// Entry is an agent that has a key.
type Entry struct {
	ID      string // as written: "7" and "007" are two
	Name    string
	Address string // as client.keys has it: "any", an address or a network
	Secret  agent.Secret
	Added   time.Time // of the enrolment, whole seconds; zero when not known
}

// Same tells whether two entries have the same line, whenever they were added.
func (e Entry) Same(o Entry) bool {
	return e.ID == o.ID && e.Name == o.Name && e.Address == o.Address && e.Secret.Equal(o.Secret)
}

// Addition is an entry to add.
type Addition struct {
	Entry // ID "": the next one; Added zero: now

	// Asked is the address as it is compared with those of others; "" for Address.
	// They differ for "10.0.0.7/32", which is stored without its length.
	Asked string

	// Replace are entries that go when this one comes, as they were seen. One that
	// is not there any more, or not as it was, stays out of it.
	Replace []Entry
}

var (
	// ErrDuplicateID is in a ConflictError: another entry has the id.
	ErrDuplicateID = errors.New("id is taken")
	// ErrDuplicateName is in a ConflictError: another entry has the name.
	ErrDuplicateName = errors.New("name is taken")
	// ErrDuplicateAddress is in a ConflictError: another entry has the address.
	ErrDuplicateAddress = errors.New("address is taken")

	// ErrUnknown is returned for an id that no entry has.
	ErrUnknown = errors.New("no such agent")
	// ErrNoID is returned when the next id would have more than eight digits.
	ErrNoID = errors.New("no ids are left")
	// ErrEntry is returned for an entry that would spoil client.keys.
	ErrEntry = errors.New("cannot be a line of client.keys")
	// ErrBusy is returned when too many operations wait already.
	ErrBusy = errors.New("too many changes of client.keys wait")
	// ErrClosed is returned after the store's end.
	ErrClosed = errors.New("key store is closed")
)

// ConflictError says which entry is in the way of an addition.
type ConflictError struct {
	Err     error // ErrDuplicateID, ErrDuplicateName or ErrDuplicateAddress
	Present Entry
}

// Error names the entry that is there.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v by agent %s (%q)", e.Err, e.Present.ID, e.Present.Name)
}

// Unwrap returns what the two have in common.
func (e *ConflictError) Unwrap() error { return e.Err }

// anyAddress is the address of an agent that may have any.
const anyAddress = "any"

// Bare is an address of client.keys without the length of its prefix.
func Bare(address string) string {
	bare, _, _ := strings.Cut(address, "/")
	return bare
}

const (
	maxID       = 99_999_999 // eight digits
	maxIDDigits = 8
	maxLine     = 4096 // bytes of a line that counts
)

// number is the number of an id, 0 when it has more than eight digits.
func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil || n > maxID {
		return 0
	}
	return n
}

// check finds what would spoil client.keys. The id may be missing.
func (e Entry) check() error {
	for _, c := range []byte(e.ID) {
		if c < '0' || c > '9' || len(e.ID) > maxIDDigits {
			return fmt.Errorf("agent id %q %w", e.ID, ErrEntry)
		}
	}
	if !word(e.Name) || e.Name[0] == '!' || e.Name[0] == '#' {
		return fmt.Errorf("agent name %q %w", e.Name, ErrEntry)
	}
	if !word(e.Address) || e.Address[0] == '!' {
		return fmt.Errorf("agent address %q %w", e.Address, ErrEntry)
	}
	if !word(e.Secret.Reveal()) {
		return fmt.Errorf("the key of agent %q %w", e.Name, ErrEntry)
	}
	if len(e.ID)+len(e.Name)+len(e.Address)+len(e.Secret.Reveal())+len("12345678   ") > maxLine {
		return fmt.Errorf("agent name %q... and the rest %w: too long", e.Name[:min(len(e.Name), 32)], ErrEntry)
	}
	return nil
}

// word says whether a text can be one of the four parts of a line.
func word(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] == 0x7f {
			return false
		}
	}
	return text != ""
}
