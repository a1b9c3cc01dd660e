package enrolment

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

const someKey = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeeff"

func TestAccepted(t *testing.T) {
	const want = "OSSEC K:'007 web-01 any " + someKey + "'"
	got := Accepted("007", "web-01", "any", agent.NewSecret(someKey))
	if string(got) != want {
		t.Error(string(got))
	}
	for _, text := range []string{want, want + "\n\n", want + " more'"} {
		key, err := ParseAccepted([]byte(text))
		same := agent.Key{ID: 7, Text: "007", Name: "web-01", Address: "any", Secret: agent.NewSecret(someKey)}
		if d := cmp.Diff(same, key, cmp.AllowUnexported(agent.Secret{})); d != "" || err != nil {
			t.Error(err, d)
		}
	}
}

func TestParseAccepted_Refused(t *testing.T) {
	for _, text := range []string{
		"", "OSSEC K:'", "OSSEC K:''", "OSSEC K: 007 web-01 any k3y", "OSSEC K:'007 web-01 any " + someKey, "OSSEC A:'007 web-01 any " + someKey + "'",
		" OSSEC K:'007 web-01 any " + someKey + "'", "OSSEC K:'007 web-01 any'", "OSSEC K:'007 web-01 any " + someKey + " '",
		"OSSEC K:'007 web-01  any " + someKey + "'", "OSSEC K:'123456789 web-01 any " + someKey + "'", "OSSEC K:'x web-01 any " + someKey + "'",
		"OSSEC K:' web-01 any " + someKey + "'", "OSSEC K:'007 w any " + someKey + "'", "OSSEC K:'007 web/01 any " + someKey + "'",
		"OSSEC K:'007 web-01 host " + someKey + "'", "OSSEC K:'007 web-01 any k'", "OSSEC K:'007 web-01 any k\n" + someKey + "'",
		"OSSEC K:'007 web-01 any " + strings.Repeat("k", 129) + "'",
	} {
		if key, err := ParseAccepted([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, key)
		} else if strings.Contains(err.Error(), someKey) {
			t.Error("the key shows:", err)
		}
	}
}

// TestRefusals has the texts of docs/enrolment.md §4 that no line brings about
// by itself, as they are written to agents.
func TestRefusals(t *testing.T) {
	for want, r := range map[string]*Refusal{
		"ERROR: Invalid agent name: host":                    InvalidName("host"),
		"ERROR: Maximum multigroup reached: Limit is 128":    TooManyGroups(),
		"ERROR: Invalid group: web":                          UnknownGroup("web"),
		"ERROR: Duplicate IP: 10.0.0.1":                      DuplicateAddress("10.0.0.1"),
		"ERROR: Duplicate agent name: web-01":                DuplicateName("web-01"),
		"ERROR: Internal manager error adding agent: web-01": InternalError("web-01"),
		"ERROR: Cannot comunicate with master":               NoMaster(),
		"ERROR: Invalid message format":                      NotUnderstood(),
		"ERROR: Duplicate name":                              Refused(CodeNameUsed),
	} {
		if got := string(r.Line()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzParseAccepted(f *testing.F) {
	f.Add([]byte("OSSEC K:'007 web-01 any " + someKey + "'"))
	f.Add([]byte("OSSEC K:'00000001 a-b 10.0.0.0/255.0.0.0 kk'\n\n"))
	f.Add([]byte("OSSEC K:'7 ab 2001:0DB8:0000:0000:0000:0000:0000:0001/64 k.k' and more"))
	f.Add([]byte("OSSEC K:'7 ab any k k'"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParseAccepted(text)
		if err != nil {
			return
		}
		again, err := ParseAccepted(Accepted(key.Text, key.Name, key.Address, key.Secret))
		if err != nil || !reflect.DeepEqual(again, key) {
			t.Fatalf("%+v is read back as %+v, %v", key, again, err)
		}
	})
}
