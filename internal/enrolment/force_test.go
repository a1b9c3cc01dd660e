package enrolment

import (
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
)

func TestForce_Decide(t *testing.T) {
	const now, hour = 1_700_000_000, 3600
	old := Existing{Known: true, Status: agent.Disconnected, DisconnectedAt: now - hour, AddedAt: now - hour, KeyHash: "same"}
	with := func(change func(*Existing)) Existing { e := old; change(&e); return e }
	rules := func(change func(*Force)) Force { f := DefaultForce(); change(&f); return f }
	tests := []struct {
		name  string
		force Force
		agent Existing
		hash  string
		keeps string // the rule, "" when it goes
	}{
		{"old and away", DefaultForce(), old, "", ""},
		{"with another key", DefaultForce(), old, "other", ""},
		{"rule 1", rules(func(f *Force) { f.Enabled = false }), old, "", "force/enabled"},
		{"rule 1 comes before the row", rules(func(f *Force) { f.Enabled = false }), Existing{}, "", "force/enabled"},
		{"no row", DefaultForce(), Existing{}, "", "no row"},
		{"rule 2: a second too early", DefaultForce(), with(func(e *Existing) { e.DisconnectedAt++ }), "", "long enough"},
		{"rule 2 off", rules(func(f *Force) { f.DisconnectedEnabled = false }), with(func(e *Existing) { e.DisconnectedAt++ }), "", ""},
		{"rule 2 has another time", rules(func(f *Force) { f.Disconnected = time.Second }), with(func(e *Existing) { e.DisconnectedAt = now - 1 }), "", ""},
		{"rule 3: active", DefaultForce(), with(func(e *Existing) { e.Status, e.DisconnectedAt = agent.Active, 0 }), "", "not disconnected"},
		{"rule 3: pending", DefaultForce(), with(func(e *Existing) { e.Status, e.DisconnectedAt = agent.Pending, 0 }), "", "not disconnected"},
		{"rule 3 off", rules(func(f *Force) { f.DisconnectedEnabled = false }), with(func(e *Existing) { e.Status, e.DisconnectedAt = agent.Active, 0 }), "", ""},
		{"rule 3: no time", DefaultForce(), with(func(e *Existing) { e.DisconnectedAt = 0 }), "", "not disconnected"},
		{"active, but with a time", DefaultForce(), with(func(e *Existing) { e.Status, e.DisconnectedAt = agent.Active, now }), "", ""},
		{"never connected", DefaultForce(), with(func(e *Existing) { e.Status, e.DisconnectedAt = agent.NeverConnected, 0 }), "", ""},
		{"rule 4: a second too early", DefaultForce(), with(func(e *Existing) { e.AddedAt++ }), "", "too recently"},
		{"rule 4: never connected", DefaultForce(), Existing{Known: true, Status: agent.NeverConnected, AddedAt: now}, "", "too recently"},
		{"rule 4 off", rules(func(f *Force) { f.AfterRegistration = 0 }), with(func(e *Existing) { e.AddedAt = now }), "", ""},
		{"rule 5", DefaultForce(), old, "same", "working key"},
		{"rule 5 off", rules(func(f *Force) { f.KeyMismatch = false }), old, "same", ""},
		{"rule 5: capitals are another key", DefaultForce(), old, "SAME", ""},
		{"rule 5: no hash on either side", DefaultForce(), with(func(e *Existing) { e.KeyHash = "" }), "", ""},
		{"rule 3 comes before 4", DefaultForce(), Existing{Known: true, Status: agent.Active, AddedAt: now}, "", "not disconnected"},
		{"rule 4 comes before 5", DefaultForce(), with(func(e *Existing) { e.AddedAt = now }), "same", "too recently"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			replace, why := tc.force.Decide(tc.agent, tc.hash, now)
			if replace != (tc.keeps == "") || !strings.Contains(why, tc.keeps) || replace != (why == "") {
				t.Errorf("%v, %q", replace, why)
			}
		})
	}
}

func TestParseInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "5s": 5 * time.Second, "2m": 2 * time.Minute, "1h": time.Hour, "1hour": time.Hour, "2d": 48 * time.Hour,
		"\t1h": time.Hour, "+1h": time.Hour, "0x10": 16 * time.Second, "0X1fm": 31 * time.Minute, "010": 8 * time.Second, "0h": 0,
		"99999999999999999999": maxInterval, "9223372036d": maxInterval, "18446744073709551615d": maxInterval,
	} {
		if got, err := ParseInterval(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "h", "-1", "1x", "1 h", "08", "0x", "0xg", "one", "1H", "++1", "1.5h"} {
		if got, err := ParseInterval(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParseInterval(f *testing.F) {
	for _, text := range []string{"1h", "0x1fm", "010d", " +5s", "99999999999999999999d", "08", "-1", "1hour"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseInterval(text); d < 0 || d%time.Second != 0 || err != nil && d != 0 {
			t.Fatalf("%q is %v, %v", text, d, err)
		}
	})
}
