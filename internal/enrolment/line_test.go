package enrolment

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"testudo/internal/agent"
)

var peer = netip.MustParseAddr("192.0.2.9")

// manager is a node as it is without settings of its own.
var manager = LineOptions{Version: "4.7.5"}

// textOf is the text of a refusal; "" when there is none.
func textOf(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal", err)
	}
	if !strings.HasPrefix(string(r.Line()), ErrorPrefix) || len(r.Line()) > maxReply {
		t.Errorf("the agent is sent %q", r.Line())
	}
	return r.Text
}

func TestParseLine(t *testing.T) {
	const hash = "9d8f33b313e48907f50493b89fe1eab96a1568f0"
	tests := []struct {
		name, line string
		want       Request
	}{
		{"shortest", "OSSEC A:'ab'", Request{Name: "ab", Address: "any"}},
		{"with newline", "OSSEC A:'ab'\n", Request{Name: "ab", Address: "any"}},
		{
			"every part", "OSSEC A:'web-01' V:'v4.7.5' G:'default,web' IP:'192.0.2.17' K:'" + hash + "'\n",
			Request{Name: "web-01", Version: "v4.7.5", Groups: []string{"default", "web"}, Address: "192.0.2.17", KeyHash: hash},
		},
		{"parts out of order do not count", "OSSEC A:'ab' K:'x' V:'v9.9' G:'?'", Request{Name: "ab", Address: "any", KeyHash: "x"}},
		{"nor what is no part", "OSSEC A:'ab'  V:'v9.9'", Request{Name: "ab", Address: "any"}},
		{"nor what stands right behind the name", "OSSEC A:'ab'x V:'v9.9'", Request{Name: "ab", Address: "any"}},
		{"nor what follows a NUL", "OSSEC A:'ab'\x00 V:'v9.9'", Request{Name: "ab", Address: "any"}},
		{"empty version", "OSSEC A:'ab' V:''", Request{Name: "ab", Address: "any"}},
		{"a quote one further ends an empty value", "OSSEC A:'ab' V:x' K:'y'", Request{Name: "ab", Address: "any", KeyHash: "y"}},
		{"the peer's address", "OSSEC A:'ab' IP:'src'", Request{Name: "ab", Address: "192.0.2.9"}},
		{"src is a beginning", "OSSEC A:'ab' IP:'src-ip'", Request{Name: "ab", Address: "192.0.2.9"}},
		{"any", "OSSEC A:'ab' IP:'any'", Request{Name: "ab", Address: "any"}},
		{"netmask as it was written", "OSSEC A:'ab' IP:'!10.0.0.0/255.255.0.0'", Request{Name: "ab", Address: "10.0.0.0/255.255.0.0"}},
		{"IPv6 expanded", "OSSEC A:'ab' IP:'2001:db8::1/64'", Request{Name: "ab", Address: "2001:0DB8:0000:0000:0000:0000:0000:0001/64"}},
		{"hash of another length", "OSSEC A:'ab' K:'abc'", Request{Name: "ab", Address: "any", KeyHash: "abc"}},
		{"no hash", "OSSEC A:'ab' K:''", Request{Name: "ab", Address: "any"}},
		{"repeated groups", "OSSEC A:'ab' G:'b,a,b'", Request{Name: "ab", Address: "any", Groups: []string{"b", "a"}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseLine([]byte(tc.line), peer, manager)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseLine_AddressOfThePeer(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.9": "192.0.2.9", "::ffff:192.0.2.9": "192.0.2.9",
		"fe80::1%eth0": "FE80:0000:0000:0000:0000:0000:0000:0001",
	} {
		o := LineOptions{UseSourceIP: true, Version: "4.7.5"}
		for _, line := range []string{"OSSEC A:'ab'", "OSSEC A:'ab' IP:'src'"} {
			if got, err := ParseLine([]byte(line), netip.MustParseAddr(from), o); got.Address != want || err != nil {
				t.Errorf("%q from %s has %q, %v", line, from, got.Address, err)
			}
		}
		if got, err := ParseLine([]byte("OSSEC A:'ab' IP:'10.0.0.1'"), netip.MustParseAddr(from), o); got.Address != "10.0.0.1" || err != nil {
			t.Error(got.Address, err)
		}
	}
}

// TestParseLine_Refused goes through the texts of docs/enrolment.md §4 that a
// line can bring about.
func TestParseLine_Refused(t *testing.T) {
	long := strings.Repeat("x", 256)
	secret := LineOptions{WantPassword: true, Password: agent.NewSecret("secret"), Version: "4.7.5"}
	const noLine = "Invalid request for new agent"
	tests := []struct {
		line    string
		options LineOptions
		want    string
	}{
		{"", secret, "Invalid password"},
		{"OSSEC A:'ab'", secret, "Invalid password"},
		{"OSSEC PASS: secret", secret, "Invalid password"},
		{"OSSEC PASS: secretly OSSEC A:'ab'", secret, "Invalid password"},
		{"OSSEC PASS: SECRET OSSEC A:'ab'", secret, "Invalid password"},
		{"OSSEC PASS:  secret OSSEC A:'ab'", secret, "Invalid password"},
		{"OSSEC PASS: secret OSSEC A:'ab'", secret, ""},
		{"OSSEC PASS: secret  OSSEC A:'ab'", secret, noLine},
		{"OSSEC PASS: secret ", secret, noLine},
		{"OSSEC PASS: secret OSSEC A:'ab'", manager, noLine},
		{"", manager, noLine},
		{" OSSEC A:'ab'", manager, noLine},
		{"OSSEC A:ab", manager, noLine},
		{"OSSEC A:'ab", manager, noLine},
		{"OSSEC A:'a\x00b'", manager, noLine},
		{"OSSEC A:''", manager, "Invalid agent name: "},
		{"OSSEC A:'a'", manager, "Invalid agent name: a"},
		{"OSSEC A:'a b'", manager, "Invalid agent name: a b"},
		{"OSSEC A:'" + long[:129] + "'", manager, "Invalid agent name: " + long[:129]},
		{"OSSEC A:'" + long[:128] + "'", manager, ""},
		{"OSSEC A:'ab' V:'v4.7.5", manager, "Unterminated version field"},
		{"OSSEC A:'ab' V:", manager, "Unterminated version field"},
		{"OSSEC A:'ab' V:'" + strings.Repeat("1", 2049) + "'", manager, "Unterminated version field"},
		{"OSSEC A:'ab' V:'" + strings.Repeat("0", 2048) + "'", manager, ""},
		{"OSSEC A:'ab' V:'v4.8.0'", manager, "Agent version must be lower or equal to manager version"},
		{"OSSEC A:'ab' V:'v4.8.0'", LineOptions{Version: "4.7.5", AllowHigher: true}, ""},
		{"OSSEC A:'ab' G:'a", manager, "Unterminated group field"},
		{"OSSEC A:'ab' G:'" + strings.Repeat("a", 65537) + "'", manager, "Unterminated group field"},
		{"OSSEC A:'ab' G:''", manager, "Invalid group name: Empty Group"},
		{"OSSEC A:'ab' IP:'10.0.0.1", manager, "Unterminated IP field"},
		{"OSSEC A:'ab' IP:'10.0.0.1 '", manager, "Unterminated IP field"},
		{"OSSEC A:'ab' IP:'src x'", manager, "Unterminated IP field"},
		{"OSSEC A:'ab' IP:'" + long[:47] + "'", manager, "Unterminated IP field"},
		{"OSSEC A:'ab' IP:'" + long[:46] + "'", manager, "Invalid IP: " + long[:46]},
		{"OSSEC A:'ab' IP:''", manager, "Invalid IP: "},
		{"OSSEC A:'ab' IP:'ANY'", manager, "Invalid IP: ANY"},
		{"OSSEC A:'ab' IP:'10.0.0.1\n'", manager, "Invalid IP: 10.0.0.1\n"},
		{"OSSEC A:'ab' IP:'10.0.0.256'", manager, "Invalid IP: 10.0.0.256"},
		{"OSSEC A:'ab' K:'" + long[:41] + "'", manager, "Unterminated key field"},
		{"OSSEC A:'ab' K:'abc", manager, "Unterminated key field"},
	}
	for _, tc := range tests {
		got, err := ParseLine([]byte(tc.line), peer, tc.options)
		if text := textOf(t, err); text != tc.want {
			t.Errorf("%.80q: %q, want %q", tc.line, text, tc.want)
		}
		if err != nil && !cmp.Equal(got, Request{}) {
			t.Errorf("%.80q: something remains: %v", tc.line, got)
		}
	}
}

// TestParseLine_Order makes a line with everything wrong right, one by one.
func TestParseLine_Order(t *testing.T) {
	o := LineOptions{WantPassword: true, Password: agent.NewSecret("pw"), Version: "4.7.5"}
	for _, tc := range []struct{ line, want string }{
		{"OSSEC PASS: no OSSEC A:'?' V:'v9.0' G:',' IP:'?' K:'", "Invalid password"},
		{"OSSEC PASS: pw OSSEC A:'?' V:'v9.0' G:',' IP:'?' K:'", "Invalid agent name: ?"},
		{"OSSEC PASS: pw OSSEC A:'ab' V:'v9.0' G:',' IP:'?' K:'", "Agent version must be lower or equal to manager version"},
		{"OSSEC PASS: pw OSSEC A:'ab' V:'v4.7.5' G:',' IP:'?' K:'", `Invalid group name: ,... characters '\/:*?"<>|,' are prohibited`},
		{"OSSEC PASS: pw OSSEC A:'ab' V:'v4.7.5' G:'a' IP:'?' K:'", "Invalid IP: ?"},
		{"OSSEC PASS: pw OSSEC A:'ab' V:'v4.7.5' G:'a' IP:'any' K:'", "Unterminated key field"},
		{"OSSEC PASS: pw OSSEC A:'ab' V:'v4.7.5' G:'a' IP:'any' K:''", ""},
	} {
		_, err := ParseLine([]byte(tc.line), peer, o)
		if got := textOf(t, err); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.line, got, tc.want)
		}
	}
}

func TestNewer(t *testing.T) {
	for version, want := range map[string]bool{
		"": false, "v": false, "v4.7.5": false, "4.7.9": false, "v4.8": true, "v5": true, "v3.99": false, "v4.10.0": true,
		"W v4.9": true, "Wazuh v4.9": false, "4..8": true, ".5": true, "x": false, "v4.7.5-rc99": false, "junk 9.9": false,
		"123456789v5.0": true, "v 5.0": true, "v-5.0": false, "5v4.7": false,
	} {
		if got := newer(version, "4.7.5"); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

func TestRefusal_IsCutAsTheOriginalCutsIt(t *testing.T) {
	_, err := ParseLine([]byte("OSSEC A:'"+strings.Repeat("?", 60000)+"'"), peer, manager)
	var r *Refusal
	if !errors.As(err, &r) || len(r.Line()) != 2047 {
		t.Error(len(r.Line()))
	}
}

func TestRefusal_IsSafeInALog(t *testing.T) {
	_, err := ParseLine([]byte("OSSEC A:'a\nb\x1b'"), peer, manager)
	if text := err.Error(); strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("%q", text)
	}
}

// TestLine_IsReadBack: what an agent sends is what a node reads.
func TestLine_IsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Request{
			Name:    rapid.StringMatching(`[A-Za-z0-9_.-]{2,128}`).Draw(t, "name"),
			Version: rapid.SampledFrom([]string{"", "v4.7.5", "v4.3.10"}).Draw(t, "version"),
			Groups:  rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z@;]{1,9}`), 0, 100, rapid.ID).Draw(t, "groups"),
			Address: rapid.SampledFrom([]string{"", "any", "10.0.0.0/8", "src"}).Draw(t, "address"),
			KeyHash: rapid.StringMatching(`([0-9a-f]{40})?`).Draw(t, "hash"),
		}
		if len(r.Groups) == 0 {
			r.Groups = nil
		}
		password := rapid.StringMatching(`([!-~]{1,20})?`).Draw(t, "password")
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		o := LineOptions{WantPassword: password != "", Password: agent.NewSecret(password), Version: "4.7.5"}
		got, err := ParseLine(r.Line(o.Password), peer, o)
		if err != nil {
			t.Fatal(err)
		}
		switch r.Address {
		case "":
			r.Address = "any"
		case "src":
			r.Address = "192.0.2.9"
		}
		if d := cmp.Diff(r, got); d != "" {
			t.Error(d)
		}
	})
}

func TestRequest_Check(t *testing.T) {
	good := Request{Name: "web-01", Version: "v4.7.5", Groups: []string{"a"}, Address: "src", KeyHash: strings.Repeat("0", 40)}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Request){
		"name":    func(r *Request) { r.Name = "a'" },
		"version": func(r *Request) { r.Version = "4'" },
		"groups":  func(r *Request) { r.Groups = []string{"a", ""} },
		"address": func(r *Request) { r.Address = "host" },
		"hash":    func(r *Request) { r.KeyHash += "0" },
	} {
		r := good
		if spoil(&r); r.Check() == nil {
			t.Errorf("a wrong %s passes", name)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{
		"OSSEC A:'web-01' V:'v4.7.5' G:'default,web' IP:'192.0.2.17' K:'9d8f33b313e48907f50493b89fe1eab96a1568f0'\n",
		"OSSEC PASS: secret OSSEC A:'ab'\n",
		"OSSEC A:'ab' G:'a,,b' IP:'src'",
		"OSSEC A:'ab' G:'" + strings.Repeat("a,", 130) + "b' IP:'::1/64'",
		"OSSEC A:'ab' V:x' IP:x' K:x'",
		"OSSEC A:'ab' V:'v99999999.9' IP:'!::ffff:1.2.3.4/255.0.255.0'",
	} {
		f.Add([]byte(line), true)
		f.Add([]byte(line), false)
	}
	f.Fuzz(func(t *testing.T, line []byte, password bool) {
		o := LineOptions{WantPassword: password, Password: agent.NewSecret("secret"), Version: "4.7.5"}
		r, err := ParseLine(line, peer, o)
		if text := textOf(t, err); err != nil {
			if strings.Contains(text, "secret") && !strings.Contains(string(line), "secret") {
				t.Fatal("the password shows")
			}
			return
		}
		if err := r.Check(); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		again, err := ParseLine(r.Line(o.Password), peer, LineOptions{WantPassword: true, Password: o.Password, Version: "4.7.5"})
		if bytes.Count(line, []byte(",")) >= agent.MaxGroups-1 {
			again.Groups = r.Groups // the names that are told apart are others now
		}
		if err != nil || !cmp.Equal(r, again) {
			t.Fatalf("%+v is read back as %+v, %v", r, again, err)
		}
	})
}
