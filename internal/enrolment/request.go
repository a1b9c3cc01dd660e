package enrolment

import (
	"errors"
	"fmt"
	"strings"

	"testudo/internal/agent"
)

const (
	// MaxLine is how much of a request is read, in bytes (docs/enrolment.md §3).
	MaxLine = 65536 + 4096

	minName    = 2
	maxName    = 128
	maxVersion = 2048
	maxGroups  = 65536 // of the whole list, in bytes
	maxAddress = 46
	hashSize   = 40
)

// Request is one enrolment, as asked for.
type Request struct {
	Name    string
	Version string   // as sent; "" when absent
	Groups  []string // nil when none is asked for
	Address string   // of a parsed line: final, as the reply shows it. To be sent: "" for none, AddressOfPeer, or an address
	KeyHash string   // KeyHash of the key that the agent has; "" when it has none
}

// AddressOfPeer asks for the address that the connection comes from.
const AddressOfPeer = "src"

// Line is what an agent sends (docs/enrolment.md §3), with its newline. An
// empty password is none. Values are taken as they are: see Check.
func (r Request) Line(password agent.Secret) []byte {
	var b strings.Builder
	if p := password.Reveal(); p != "" {
		b.WriteString("OSSEC PASS: " + p + " ")
	}
	b.WriteString("OSSEC A:'" + r.Name + "'")
	part := func(word, value string) {
		if value != "" {
			b.WriteString(" " + word + ":'" + value + "'")
		}
	}
	part("V", r.Version)
	part("G", agent.GroupsText(r.Groups))
	part("IP", r.Address)
	part("K", r.KeyHash)
	b.WriteByte('\n')
	return []byte(b.String())
}

// Check returns what a node would not take of a request to be sent.
func (r Request) Check() error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	if len(r.Version) > maxVersion || strings.ContainsAny(r.Version, "'\x00") {
		return errors.New("the agent's version is too long or holds a quote")
	}
	if r.Groups != nil {
		if _, err := CheckGroups(agent.GroupsText(r.Groups)); err != nil {
			return err
		}
	}
	if r.Address != "" && r.Address != AddressOfPeer {
		if _, err := ParseAddress(r.Address); err != nil {
			return fmt.Errorf("address %q: %w", r.Address, err)
		}
	}
	if len(r.KeyHash) > hashSize || strings.ContainsAny(r.KeyHash, "'\x00") {
		return errors.New("the hash of the key is too long or holds a quote")
	}
	return nil
}

// CheckName returns a *Refusal unless name is 2 to 128 letters, digits, '-', '_'
// and '.'.
func CheckName(name string) error {
	if !plainWord(name) {
		return InvalidName(name)
	}
	return nil
}

// plainWord is the rule for names, and for keys as agents take them.
func plainWord(text string) bool {
	if len(text) < minName || len(text) > maxName {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
