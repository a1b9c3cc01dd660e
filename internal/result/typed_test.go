package result

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTime_BothWays(t *testing.T) {
	utc := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		text, again string
		at          time.Time
	}{
		{"2024-01-02T03:04:05+00:00", "2024-01-02T03:04:05+00:00", utc},
		{"2024-01-02T03:04:05Z", "2024-01-02T03:04:05+00:00", utc},
		{"2024-01-02 03:04:05+00:00", "2024-01-02T03:04:05+00:00", utc},
		{"2024-01-02T03:04:05.250000+00:00", "2024-01-02T03:04:05.250000+00:00", utc.Add(250 * time.Millisecond)},
		{"2024-01-02T03:04:05.000000999+00:00", "2024-01-02T03:04:05+00:00", utc},
		{"2024-01-02T05:04:05+02:00", "2024-01-02T05:04:05+02:00", utc},
		{"2024-01-02T00:34:05-02:30", "2024-01-02T00:34:05-02:30", utc},
		{"2024-01-02T03:04:05", "2024-01-02T03:04:05", utc},
		{"2024-01-02T03:04", "2024-01-02T03:04:00", utc.Truncate(time.Minute)},
		{"2024-01-02T03", "2024-01-02T03:00:00", utc.Truncate(time.Hour)},
		{"2024-01-02", "2024-01-02T00:00:00", utc.Truncate(24 * time.Hour)},
	}
	for _, tc := range tests {
		t.Run(tc.text, func(t *testing.T) {
			var got Time
			if err := json.Unmarshal([]byte(`{"__wazuh_datetime__": "`+tc.text+`"}`), &got); err != nil {
				t.Fatal(err)
			}
			if !time.Time(got).Equal(tc.at) {
				t.Errorf("%v is not %v", got, tc.at)
			}
			text, err := json.Marshal(got)
			if err != nil || string(text) != `{"__wazuh_datetime__":"`+tc.again+`"}` {
				t.Errorf("%s, %v", text, err)
			}
		})
	}
}

func TestTime_Refused(t *testing.T) {
	for _, text := range []string{
		``, `"2024-01-02"`, `{}`, `{"__wazuh_datetime__": 7}`, `{"__wazuh_datetime__": ""}`, `{"__wazuh_datetime__": "yesterday"}`,
		`{"__wazuh_datetime__": "2024-13-02"}`, `{"__wazuh_datetime__": "2024-01-02+00:00"}`, `{"__wazuh_datetime__": "0000-01-02"}`,
		`{"__wazuh_datetime__": "2024-01-02T03:04:05.` + strings.Repeat("0", maxTime) + `"}`, `{"__wazuh_datetime__": {"a": []}}`,
	} {
		var got Time
		if err := got.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is %v", text, got)
		}
	}
	for _, year := range []int{0, 10000} {
		if text, err := json.Marshal(Time(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))); err == nil {
			t.Errorf("year %d: %s", year, text)
		}
	}
}

func TestTime_AnyMomentSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]*time.Location{time.UTC, NoZone, time.FixedZone("", 3600), time.FixedZone("", -12600)}).Draw(t, "zone")
		at := time.Unix(rapid.Int64Range(-60000000000, 250000000000).Draw(t, "seconds"), rapid.Int64Range(0, 999999).Draw(t, "micro")*1000).In(zone)
		text, err := json.Marshal(Time(at))
		if err != nil {
			t.Fatal(err)
		}
		var got Time
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if !time.Time(got).Equal(at) || got.String() != Time(at).String() {
			t.Fatalf("%v became %v", Time(at), got)
		}
	})
}

func TestCallable_BothWays(t *testing.T) {
	const text = `{"__callable__":{"__name__":"get_agents_overview","__module__":"wazuh.core.agent","__qualname__":"Agent.get_agents_overview","__type__":"function"}}`
	var c Callable
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.Key() != "wazuh.core.agent.Agent.get_agents_overview" {
		t.Errorf("key %q", c.Key())
	}
	if again, err := json.Marshal(c); err != nil || string(again) != text {
		t.Errorf("%s, %v", again, err)
	}
	const method = `{"__callable__": {"__name__": "f", "__module__": "wazuh", "__qualname__": "Wazuh.f", "__type__": "method", "__wazuh__": {"path": "/x"}}}`
	if err := json.Unmarshal([]byte(method), &c); err != nil || c.Key() != "wazuh.Wazuh.f" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestCallable_Refused(t *testing.T) {
	whole := `{"__callable__": {"__name__": "f", "__module__": "m", "__qualname__": "f", "__type__": "function"}}`
	for _, text := range []string{
		``, `"f"`, `{}`, `[]`, `{"__callable__": "f"}`,
		strings.Replace(whole, `"__name__": "f", `, "", 1), strings.Replace(whole, `"__module__": "m", `, "", 1),
		strings.Replace(whole, `"__qualname__": "f", `, "", 1), strings.Replace(whole, `, "__type__": "function"`, "", 1),
		strings.Replace(whole, `"m"`, `""`, 1), strings.Replace(whole, `"m"`, `7`, 1), strings.Replace(whole, `"m"`, `"a b"`, 1),
		strings.Replace(whole, `"m"`, `"a\n"`, 1), strings.Replace(whole, `"m"`, `"`+strings.Repeat("m", maxCallable+1)+`"`, 1),
		strings.Replace(whole, `"m"`, `"m", "__wazuh__": `+strings.Repeat("[", 20)+strings.Repeat("]", 20), 1),
		strings.Replace(whole, `"m"`, `"m", "__wazuh__": "`+strings.Repeat("x", 64<<10)+`"`, 1),
	} {
		var c Callable
		if err := c.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%.200s is %v", text, c)
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2024-01-02T03:04:05+00:00", "2024-01-02", "2024-01-02T03:04:05.5", "9999-12-31T23:59:59.999999-23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime(s)
		if err != nil {
			return
		}
		again, err := ParseTime(at.String())
		if err != nil || again.String() != at.String() || !time.Time(again).Equal(time.Time(at)) {
			t.Errorf("%q became %q, then %q, %v", s, at, again, err)
		}
		if _, err := json.Marshal(at); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func FuzzCallable(f *testing.F) {
	f.Add([]byte(`{"__callable__": {"__name__": "f", "__module__": "wazuh.agent", "__qualname__": "f", "__type__": "function"}}`))
	f.Add([]byte(`{"__callable__": {"__name__": "f", "__module__": "os", "__qualname__": "f", "__type__": "function", "__wazuh__": {}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c, again Callable
		if c.UnmarshalJSON(data) != nil {
			return
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &again); err != nil || again != c {
			t.Errorf("%v became %v, %v", c, again, err)
		}
	})
}
