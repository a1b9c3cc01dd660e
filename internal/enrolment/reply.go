package enrolment

import (
	"errors"
	"fmt"
	"strings"

	"testudo/internal/agent"
)

// AcceptedPrefix is what a reply with a key begins with.
const AcceptedPrefix = "OSSEC K:'"

// ErrAccepted is returned when a reply with a key is not as it must be.
var ErrAccepted = errors.New("the manager's reply holds no valid id, name, address and key")

const maxIDDigits = 8

// Accepted is the reply to an agent that gets a key (docs/enrolment.md §4),
// without newline. address is Address.Asked.
func Accepted(id, name, address string, key agent.Secret) []byte {
	return fmt.Appendf(nil, "%s%s %s %s %s'", AcceptedPrefix, id, name, address, key.Reveal())
}

// ParseAccepted reads a reply with a key as agents do (docs/enrolment.md §12).
// What stands behind the closing quote does not count. The error is ErrAccepted.
func ParseAccepted(text []byte) (agent.Key, error) {
	rest, ok := strings.CutPrefix(string(text), AcceptedPrefix)
	if !ok {
		return agent.Key{}, ErrAccepted
	}
	line, _, ok := strings.Cut(rest, "'")
	parts := strings.Split(line, " ")
	if !ok || len(parts) != 4 || !validID(parts[0]) || !plainWord(parts[1]) || !plainWord(parts[3]) {
		return agent.Key{}, ErrAccepted
	}
	id, err := agent.ParseID(parts[0])
	if err != nil {
		return agent.Key{}, ErrAccepted
	}
	if _, err := ParseAddress(parts[2]); err != nil {
		return agent.Key{}, ErrAccepted
	}
	return agent.Key{ID: id, Text: parts[0], Name: parts[1], Address: parts[2], Secret: agent.NewSecret(parts[3])}, nil
}

// validID tells whether text is 1 to 8 digits.
func validID(text string) bool {
	if text == "" || len(text) > maxIDDigits {
		return false
	}
	for i := range len(text) {
		if !digit(text[i], 10) {
			return false
		}
	}
	return true
}
