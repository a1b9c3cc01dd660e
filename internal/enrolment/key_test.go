package enrolment

import (
	"testing"

	"testudo/internal/agent"
)

func TestKeyHash(t *testing.T) {
	key := agent.NewSecret("0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeeff")
	if got := KeyHash("007", "web-01", key); got != "9d8f33b313e48907f50493b89fe1eab96a1568f0" {
		t.Error(got)
	}
}

func TestNewKey(t *testing.T) {
	first, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	second, _ := NewKey()
	if first.Equal(second) || len(first.Reveal()) != 64 || !plainWord(first.Reveal()) {
		t.Error("no key, or the same again")
	}
}
