package agent

import (
	"crypto/sha1" //nolint:gosec // what the protocol compares with; nothing secret depends on it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"path"
	"strings"
)

const (
	// DefaultGroup is the group of agents that were given no other.
	DefaultGroup = "default"

	// MaxGroups is how many groups an agent can have.
	MaxGroups = 128

	// maxGroupName is the longest name of a group, in bytes.
	maxGroupName = 255

	// hashLength is how many digits of the SHA-256 name a list of groups.
	hashLength = 8

	multigroups = "var/multigroups"
)

// ErrGroupName is returned when a text cannot be the name of a group.
var ErrGroupName = errors.New("a group's name is 1 to 255 letters, digits, '_', '.' and '-', and neither \".\" nor \"..\"")

// CheckGroupName returns ErrGroupName unless name can be the name of a group
// (docs/agentdb.md §9.1), which is also the name of its directory.
func CheckGroupName(name string) error {
	if name == "" || len(name) > maxGroupName || name == "." || name == ".." {
		return ErrGroupName
	}
	for i := range len(name) {
		if !groupByte(name[i]) {
			return ErrGroupName
		}
	}
	return nil
}

func groupByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	default:
		return c == '_' || c == '.' || c == '-'
	}
}

// GroupsText is the text form of an agent's groups, given in the order of their
// priority: the names joined by commas.
func GroupsText(names []string) string { return strings.Join(names, ",") }

// GroupHash is the name that a text of groups goes by: the first 8 lower-case
// hexadecimal digits of its SHA-256 (docs/agentdb.md §9.3). It is "" for "".
func GroupHash(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:hashLength/2])
}

// MultigroupDir is the directory, relative to the home, that holds what agents
// with this text of groups are sent when there is more than one group in it.
func MultigroupDir(text string) string { return path.Join(multigroups, GroupHash(text)) }

// GlobalHash sums up the groups of all agents of a node (docs/agentdb.md §9.4).
// Its zero value is not usable; see NewGlobalHash.
type GlobalHash struct {
	sum   hash.Hash
	empty bool
}

// NewGlobalHash returns the sum over no agent.
func NewGlobalHash() *GlobalHash { return &GlobalHash{sum: sha1.New(), empty: true} } //nolint:gosec // as above

// Add takes in the GroupHash of the agent with the next higher id. Agents
// without groups, whose hash is "", do not count.
func (g *GlobalHash) Add(groupHash string) {
	if groupHash == "" {
		return
	}
	g.empty = false
	g.sum.Write([]byte(groupHash))
}

// Sum returns 40 lower-case hexadecimal digits; ok is false when no agent has
// groups, for which there is no hash.
func (g *GlobalHash) Sum() (text string, ok bool) {
	if g.empty {
		return "", false
	}
	return hex.EncodeToString(g.sum.Sum(nil)), true
}
