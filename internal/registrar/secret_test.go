package registrar

import (
	"fmt"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/keystore"
)

func TestKeys_AreNeverShown(t *testing.T) {
	secret := agent.NewSecret("topsecret")
	e := keystore.Entry{ID: "007", Name: "web-01", Address: "any", Secret: secret}
	for _, holder := range []any{
		wanted{key: secret}, held{entry: e}, &held{entry: e}, change{entry: e, insert: &NewAgent{Key: secret}},
		[]change{{entry: e}}, NewAgent{Key: secret}, &Registration{Entry: e},
	} {
		if text := fmt.Sprintf("%v %+v %#v", holder, holder, holder); strings.Contains(text, "topsecret") {
			t.Errorf("%T shows its key: %s", holder, text)
		}
	}
}
