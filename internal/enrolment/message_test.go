package enrolment

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

var showSecrets = cmp.AllowUnexported(agent.Secret{})

func TestParseMessage(t *testing.T) {
	all := Force{Enabled: true, KeyMismatch: true, DisconnectedEnabled: true, Disconnected: time.Hour, AfterRegistration: 24 * time.Hour}
	tests := []struct {
		name, text string
		want       Message
	}{
		{"remove", `{"function":"remove","arguments":{"id":"007","purge":true}}`, Message{"remove", Arguments{ID: "007", Purge: true}}},
		{"purge as the original's workers send it", `{"function":"remove","arguments":{"id":"007","purge":1}}`, Message{"remove", Arguments{ID: "007"}}},
		{"an id that is none can still go", `{"function":"remove","arguments":{"id":"a b"}}`, Message{"remove", Arguments{ID: "a b"}}},
		{"get", `{"function":"get","arguments":{"id":"7"}}`, Message{"get", Arguments{ID: "7"}}},
		{"confirm", `{"function":"confirm","arguments":{"id":"7"}}`, Message{"confirm", Arguments{ID: "7"}}},
		{"add", `{"arguments":{"name":"web-01","ip":"any"},"function":"add"}`, Message{"add", Arguments{Name: "web-01", IP: "any"}}},
		{
			"add with everything",
			`{"function":"add","arguments":{"name":"web-01","ip":"!10.0.0.1","id":"0500","key":"k3y","groups":"b,a,b","key_hash":"h","held":true,` +
				`"force":{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":true,"value":"1h"},"after_registration_time":86400}}}`,
			Message{"add", Arguments{Name: "web-01", IP: "!10.0.0.1", ID: "0500", Key: agent.NewSecret("k3y"), Groups: []string{"b", "a"}, KeyHash: "h", Held: true, Force: &all}},
		},
		{
			"flags that are no flags", `{"function":"add","arguments":{"name":"a","ip":"any","force":{"enabled":1,"key_mismatch":"yes","disconnected_time":{"enabled":null,"value":-1.5},"after_registration_time":1e300}}}`,
			Message{"add", Arguments{Name: "a", IP: "any", Force: &Force{Enabled: true, Disconnected: -time.Second, AfterRegistration: (1<<31 - 1) * time.Second}}},
		},
		{"no groups", `{"function":"add","arguments":{"name":"a","ip":"any","groups":""}}`, Message{"add", Arguments{Name: "a", IP: "any"}}},
		{"groups are not checked here", `{"function":"add","arguments":{"name":"a","ip":"any","groups":"a b,?"}}`, Message{"add", Arguments{Name: "a", IP: "any", Groups: []string{"a b", "?"}}}},
		{"nor is the address", `{"function":"add","arguments":{"name":"a","ip":7}}`, Message{"add", Arguments{Name: "a"}}},
		{"null is no id and no key", `{"function":"add","arguments":{"name":"a","ip":"any","id":null,"key":null,"key_hash":null}}`, Message{"add", Arguments{Name: "a", IP: "any"}}},
		{"capitals", `{"FUNCTION":"get","Arguments":{"Id":"7"}}`, Message{"get", Arguments{ID: "7"}}},
		{"the first one counts", `{"function":"get","function":"add","arguments":{"id":"7","id":"8"}}`, Message{"get", Arguments{ID: "7"}}},
		{"text behind", `{"function":"get","arguments":{"id":"7"}}}{ more`, Message{"get", Arguments{ID: "7"}}},
		{"blanks", " {\n\"function\" : \"get\",\t\"arguments\":{\"id\":\"7\"} }", Message{"get", Arguments{ID: "7"}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseMessage([]byte(tc.text))
			if d := cmp.Diff(tc.want, got, showSecrets); d != "" || err != nil {
				t.Error(err, d)
			}
		})
	}
}

// TestParseMessage_Refused goes through the numbers of docs/enrolment.md §9 that
// a message can bring about by itself, in the order of the checks.
func TestParseMessage_Refused(t *testing.T) {
	add := func(arguments string) string { return `{"function":"add","arguments":{` + arguments + `}}` }
	force := func(rules string) string { return add(`"name":"a","ip":"any","force":` + rules) }
	tests := []struct {
		text string
		want int
	}{
		{``, CodeJSON},
		{`{`, CodeJSON},
		{`[]`, CodeJSON},
		{`"add"`, CodeJSON},
		{`{"function":"get","arguments":{"id":"7"}`, CodeJSON},
		{`{"function":"get" "arguments":{}}`, CodeJSON},
		{`{} `, CodeNoFunction},
		{`{"arguments":{}}`, CodeNoFunction},
		{`{"function":"list"}`, CodeInternal},
		{`{"function":""}`, CodeInternal},
		{`{"function":7,"arguments":{}}`, CodeInternal},
		{`{"function":"Add","arguments":{}}`, CodeInternal},
		{`{"function":"add"}`, CodeNoArguments},
		{`{"function":"remove"}`, CodeNoArguments},
		{`{"function":"get"}`, CodeNoArguments},
		{`{"function":"get","arguments":{}}`, CodeNoID},
		{`{"function":"get","arguments":{"id":7}}`, CodeNoID},
		{`{"function":"remove","arguments":"007"}`, CodeNoID},
		{`{"function":"remove","arguments":{"id":""}}`, CodeNoID},
		{add(``), CodeNoName},
		{`{"function":"add","arguments":[]}`, CodeNoName},
		{add(`"name":"a"`), CodeNoAddress},
		{add(`"name":"a b","id":"x"`), CodeNoAddress},
		{add(`"name":"","ip":"any","groups":7,"force":7`), CodeGroups},
		{add(`"name":"","ip":"any","force":7`), CodeJSON},
		{force(`null`), CodeJSON},
		{force(`{}`), CodeJSON},
		{force(`{"enabled":true}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true,"disconnected_time":3600,"after_registration_time":0}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true,"disconnected_time":{"value":0},"after_registration_time":0}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":true},"after_registration_time":0}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":true,"value":true},"after_registration_time":0}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":true,"value":"1w"},"after_registration_time":0}`), CodeJSON},
		{force(`{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":true,"value":0}}`), CodeJSON},
		{force(`{"key_mismatch":true,"disconnected_time":{"enabled":true,"value":0},"after_registration_time":0}`), CodeJSON},
		// Ours: what would spoil client.keys.
		{add(`"name":"","ip":"any"`), CodeNoName},
		{add(`"name":7,"ip":"any"`), CodeNoName},
		{add(`"name":"a b","ip":"any","id":"x"`), CodeNoName},
		{add(`"name":"a\u0001","ip":"any"`), CodeNoName},
		{add(`"name":"a\u00a0b","ip":"any"`), CodeNoName},
		{add(`"name":"!a","ip":"any"`), CodeNoName},
		{add(`"name":"#a","ip":"any"`), CodeNoName},
		{add(`"name":"` + strings.Repeat("a", 129) + `","ip":"any"`), CodeNoName},
		{add(`"name":"a","ip":"any","id":"abc","key":""`), CodeNoID},
		{add(`"name":"a","ip":"any","id":7`), CodeNoID},
		{add(`"name":"a","ip":"any","id":""`), CodeNoID},
		{add(`"name":"a","ip":"any","id":"000"`), CodeNoID},
		{add(`"name":"a","ip":"any","id":"123456789"`), CodeNoID},
		{add(`"name":"a","ip":"any","key":""`), CodeKey},
		{add(`"name":"a","ip":"any","key":7`), CodeKey},
		{add(`"name":"a","ip":"any","key":"a b"`), CodeKey},
		{add(`"name":"a","ip":"any","key":"` + strings.Repeat("k", 129) + `"`), CodeKey},
		{strings.Repeat(" ", MaxMessage) + `{"function":"get","arguments":{"id":"7"}}`, CodeJSON},
	}
	for _, tc := range tests {
		m, err := ParseMessage([]byte(tc.text))
		var r *Refusal
		if !errors.As(err, &r) || r.Code != tc.want || r.Text == "" {
			t.Errorf("%.120q: %v, want %d", tc.text, err, tc.want)
		}
		if d := cmp.Diff(Message{}, m, showSecrets); d != "" {
			t.Errorf("%.120q: something remains: %s", tc.text, d)
		}
	}
}

func TestMessage_JSON(t *testing.T) {
	hash := "9d8f33b313e48907f50493b89fe1eab96a1568f0"
	request := Request{Name: "web-01", Version: "v4.7.5", Groups: []string{"default", "web"}, Address: "any", KeyHash: hash}
	force := DefaultForce()
	tests := []struct {
		message Message
		want    string
	}{
		{Request{Name: "web-01", Address: "any"}.Addition(), `{"arguments":{"name":"web-01","ip":"any"},"function":"add"}`},
		{request.Addition(), `{"arguments":{"name":"web-01","ip":"any","groups":"default,web","key_hash":"` + hash + `"},"function":"add"}`},
		{Message{"remove", Arguments{ID: "007", Purge: true}}, `{"arguments":{"id":"007","purge":true},"function":"remove"}`},
		{Message{"confirm", Arguments{ID: "007"}}, `{"arguments":{"id":"007"},"function":"confirm"}`},
		{
			Message{"add", Arguments{Name: "a<b", IP: "any", ID: "500", Key: agent.NewSecret("k3y"), Force: &force, Held: true}},
			`{"arguments":{"name":"a<b","ip":"any","key":"k3y","id":"500","force":{"disconnected_time":{"enabled":true,"value":3600},"enabled":true,` +
				`"key_mismatch":true,"after_registration_time":3600},"held":true},"function":"add"}`,
		},
	}
	for _, tc := range tests {
		if got := string(tc.message.JSON()); got != tc.want {
			t.Errorf("%s\nwant\n%s", got, tc.want)
		}
		again, err := ParseMessage(tc.message.JSON())
		if d := cmp.Diff(tc.message, again, showSecrets); d != "" || err != nil {
			t.Error(err, d)
		}
	}
	const minimal = `{"daemon_name":"authd","message":{"arguments":{"name":"web-01","ip":"any"},"function":"add"}}`
	if got := string(tests[0].message.Envelope()); got != minimal || len(got) != 93 {
		t.Error(len(got), got)
	}
}

func TestMessage_ShowsNoKey(t *testing.T) {
	m := Message{"add", Arguments{Name: "a", Key: agent.NewSecret("topsecret")}}
	a := Answer{ID: "007", Key: agent.NewSecret("topsecret")}
	for _, text := range []string{sprint(m), sprint(&m), sprint(a), sprint(LineOptions{Password: agent.NewSecret("topsecret")})} {
		if strings.Contains(text, "topsecret") {
			t.Error(text)
		}
	}
}

// A worker may send far more than the socket takes: none of it is taken apart.
func TestParseMessage_TooLong(t *testing.T) {
	text := []byte(`{"function":"get","arguments":{"id":"7"}` + strings.Repeat(`,"a":1`, MaxMessage) + `}`)
	if n := testing.AllocsPerRun(1, func() {
		_, err := ParseMessage(text)
		if r, is := errors.AsType[*Refusal](err); !is || r.Code != CodeJSON {
			t.Error(err)
		}
	}); n > 10 {
		t.Error(n, "allocations")
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, text := range []string{
		`{"function":"add","arguments":{"name":"web-01","ip":"any","groups":"a,b","key_hash":"h","id":"7","key":"k"}}`,
		`{"function":"add","arguments":{"name":"a","ip":"any","held":true,"force":{"enabled":true,"key_mismatch":false,"disconnected_time":{"enabled":true,"value":"1h"},"after_registration_time":60}}}`,
		`{"function":"remove","arguments":{"id":"007","purge":true}} more`,
		`{"FUNCTION":"get","function":"add","arguments":{"id":"\u0030\ud83d\ude00"}}`,
		`{"function":"confirm","arguments":[{"id":7}]}`,
		`{"a":[[[[[[[[[[`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMessage(data)
		if err != nil {
			textOf(t, err)
			return
		}
		again, err := ParseMessage(m.JSON())
		if n := len(m.Arguments.Groups); n >= agent.MaxGroups {
			again.Arguments.Groups = m.Arguments.Groups // see SplitGroups
		}
		if m.Arguments.IP == "" && m.Function == FunctionAdd {
			var r *Refusal
			if !errors.As(err, &r) || r.Code != CodeNoAddress {
				t.Fatal(err)
			}
			return
		}
		if d := cmp.Diff(m, again, showSecrets); d != "" || err != nil {
			t.Fatal(err, d)
		}
	})
}
