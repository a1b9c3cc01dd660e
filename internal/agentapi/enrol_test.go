package agentapi

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddAgent(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	key := strings.Repeat("1a", 32)
	r := w.enrolment(func(string) string {
		return `{"error":0,"data":{"id":"013","name":"h13","ip":"10.9.0.0/16","key":"` + key + `"}}`
	})
	want := `{"data":{"id":"013","key":"` + base64.StdEncoding.EncodeToString([]byte("013 h13 10.9.0.0/16 "+key)) + `"}}`
	for _, args := range []string{
		`{"name": "h13", "agent_id": null, "key": null, "ip": "any", "force": null}`,
		`{"name": "h13", "ip": "10.9.0.0/16", "force": {"enabled": false}}`,
		`{"name": "h13", "agent_id": "13", "key": "` + key + `", "ip": "fdb9::99cd", "force": {"disconnected_time": {"value": "1d"}, "after_registration_time": 5}}`,
	} {
		w.expect(asked{function: add, args: args}, want)
	}
	diff := cmp.Diff([]string{
		`{"arguments":{"name":"h13","ip":"any"},"function":"add"}`,
		`{"arguments":{"name":"h13","ip":"10.9.0.0/16","force":{"disconnected_time":{"enabled":true,"value":3600},"enabled":false,"key_mismatch":true,"after_registration_time":3600}},"function":"add"}`,
		`{"arguments":{"name":"h13","ip":"fdb9::99cd","key":"` + key + `","id":"013","force":{"disconnected_time":{"enabled":true,"value":86400},"enabled":true,"key_mismatch":true,"after_registration_time":5}},"function":"add"}`,
	}, r.requests)
	if diff != "" {
		t.Error(diff)
	}
}

// The daemon checks nothing: what would spoil client.keys must not reach it.
func TestAddAgent_WhatTheDaemonMustNotSee(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	r := w.enrolment(func(string) string { return `{"error":9001,"message":"Internal error"}` })
	for args, want := range map[string]string{
		`"name": ""`: "1000", `"name": "a b"`: "1000", `"name": "a\nb"`: "1000", `"name": "#a"`: "1000", `"name": "` + strings.Repeat("a", 129) + `"`: "1738",
		`"name": "a", "ip": "x"`: "1706", `"name": "a", "ip": "333.3.3.3"`: "1706", `"name": "a", "ip": "1.2.3.4\n"`: "1706", `"name": "a", "ip": "fdb9::99gh"`: "1706",
		`"name": "a", "ip": "fe80::1%a b"`: "1706",
		`"name": "a", "agent_id": "x"`:     "1000", `"name": "a", "agent_id": "000"`: "1000", `"name": "a", "agent_id": "1\n"`: "1000",
		`"name": "a", "key": "short"`: "1709", `"name": "a", "key": "` + strings.Repeat("a b ", 16) + `"`: "1000",
		`"name": "a", "force": 7`: "1000", `"name": "a", "force": {"after_registration_time": "1w"}`: "1000", `"name": "a", "force": {"disconnected_time": {"value": true}}`: "1000",
	} {
		if got := fmt.Sprint(w.ask(asked{function: add, args: "{" + args + "}"}).Err); !strings.HasPrefix(got, "Error "+want) {
			t.Errorf("%s: got %s, want %s", args, got, want)
		}
	}
	if len(r.requests) > 0 {
		t.Errorf("the daemon was asked %q", r.requests)
	}
}

func TestAddAgent_Refused(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	answer := ""
	w.enrolment(func(string) string { return answer })
	for said, want := range map[string]string{
		`{"error":9008,"message":"Duplicate name"}`:   "Error 1705 - There is an agent with the same name: h",
		`{"error":9007,"message":"Duplicate IP"}`:     "Error 1706 - There is an agent with the same address, or the address is malformed: any",
		`{"error":9012,"message":"Duplicate ID"}`:     "Error 1708 - There is an agent with the same ID: 001",
		`{"error":9009,"message":"Issue generating"}`: "Error 1725 - Error registering a new agent: Issue generating",
		`{"error":9015,"message":"on a worker node"}`: "Error 1725 - Error registering a new agent: on a worker node",
		`nonsense`:               "Error 1014",
		`{}`:                     "Error 1014",
		`{"error":0,"data":"x"}`: "Error 1014",
	} {
		answer = said
		if got := fmt.Sprint(w.ask(asked{function: add, args: `{"name": "h", "agent_id": "001"}`}).Err); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", said, got, want)
		}
	}
}

func TestDeleteAgents(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	r := w.enrolment(func(request string) string {
		if strings.Contains(request, `"009"`) {
			return `{"error":9011,"message":"Agent ID not found"}`
		}
		if strings.Contains(request, `"010"`) {
			return `{"error":9001,"message":"Internal error"}`
		}
		return `{"error":0,"data":"Agent deleted successfully."}`
	})
	w.expect(asked{function: deleting, args: `{"agent_list": ["001", "007", "009", "010", "099", "000", "002"], "purge": true, "filters": {"status": ["active"]}}`},
		`"001" "002" | 1701 [099 009] | 1703 [000] | 1731 [007] | 1757 [010] `)
	slices.Sort(r.requests)
	if diff := cmp.Diff(`{"arguments":{"id":"001","purge":true},"function":"remove"}`, r.requests[0]); diff != "" {
		t.Error(diff)
	}
	r.requests = nil
	// Two conditions at once, for all agents: what they leave out is not told.
	w.expect(asked{function: deleting, args: `{"agent_list": "*", "filters": {"status": "all", "older_than": "0s"}, "q": "id<9;group=web"}`}, `"001" "003" "006" "008" `)
	w.expect(asked{function: deleting, args: `{"agent_list": ["001"], "filters": {"older_than": "1x"}}`}, "Error 1411 - Invalid time frame: 1x")
	if len(r.requests) != 4 {
		t.Errorf("asked %q", r.requests)
	}
	o := w.ask(asked{function: deleting, args: `{"agent_list": ["001"], "q": "nope=1"}`})
	if o.Err == nil {
		t.Error("an unknown field was taken")
	}
}

// A daemon that goes away is asked no more.
func TestDeleteAgents_SilentDaemon(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	r := w.enrolment(func(string) string { return "" })
	w.expect(asked{function: deleting, args: `{"agent_list": ["001", "002", "003"]}`}, `| 1014 [001 002 003] `)
	if len(r.requests) != 1 {
		t.Errorf("asked %q", r.requests)
	}
}

// Many are removed together, for the daemon writes its file once for all that it
// is asked for at the time.
func TestDeleteAgents_SomeAtATime(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	var together sync.WaitGroup // of all but the first
	together.Add(3)
	w.enrolment(func(request string) string {
		if !strings.Contains(request, `"001"`) {
			together.Done()
			together.Wait()
		}
		return `{"error":0,"data":"Agent deleted successfully."}`
	})
	w.expect(asked{function: deleting, args: `{"agent_list": ["001", "002", "003", "005"]}`}, `"001" "002" "003" "005" `)
}
