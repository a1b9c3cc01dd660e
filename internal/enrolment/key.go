package enrolment

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what the protocol compares keys with
	"encoding/hex"
	"fmt"

	"testudo/internal/agent"
)

// keyBytes is how much chance is in a key; it is written as hexadecimal digits.
const keyBytes = 32

// NewKey makes a key: 64 lower-case hexadecimal digits.
func NewKey() (agent.Secret, error) {
	var b [keyBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return agent.Secret{}, fmt.Errorf("making a key: %w", err)
	}
	return agent.NewSecret(hex.EncodeToString(b[:])), nil
}

// KeyHash is how an agent tells which key it has: 40 lower-case hexadecimal
// digits (docs/enrolment.md §3). id is the text in client.keys.
func KeyHash(id, name string, key agent.Secret) string {
	sum := sha1.Sum([]byte(id + name + key.Reveal())) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}
