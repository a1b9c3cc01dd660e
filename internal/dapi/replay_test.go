package dapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
	"testudo/internal/recording"
	"testudo/internal/result"
)

// exchange is a recorded request on a node's socket, and its answer.
type exchange struct {
	Role    string          `json:"role"`
	Node    string          `json:"node"`
	Command string          `json:"command"`
	To      string          `json:"to"`
	Request json.RawMessage `json:"request"`
	First   []string        `json:"first_reply"`
	Final   string          `json:"final"`
	Reply   json.RawMessage `json:"reply"`
}

func recorded(t *testing.T, name string) []exchange {
	t.Helper()
	return recording.Lines[exchange](t, "golden/dapi/"+name)
}

// ask sends the request as it was sent.
func (e exchange) ask(ctx context.Context, w *world) ([]byte, error) {
	switch {
	case e.Command == "dapi_fwd":
		return w.AskNode(ctx, "7", e.To, e.Request)
	case e.Role == "master":
		return w.Ask(ctx, "7", e.Request)
	}
	return w.workers[e.Node].Ask(ctx, "7", e.Request)
}

func (e exchange) function() string {
	var r struct {
		F result.Callable `json:"f"`
	}
	_ = json.Unmarshal(e.Request, &r) // some are no requests
	return r.F.Key()
}

// same compares JSON whatever its spaces and order of members.
func same(t *testing.T, got, want []byte) string {
	t.Helper()
	var a, b any
	for _, v := range []struct {
		data []byte
		to   *any
	}{{got, &a}, {want, &b}} {
		dec := json.NewDecoder(bytes.NewReader(v.data))
		dec.UseNumber()
		if err := dec.Decode(v.to); err != nil {
			t.Fatalf("%.200s: %v", v.data, err)
		}
	}
	return cmp.Diff(b, a)
}

func TestReplay_Routing(t *testing.T) {
	for _, e := range recorded(t, "routing.jsonl") {
		t.Run(fmt.Sprintf("%s %s %s", e.Node, e.Command, e.To), func(t *testing.T) {
			both(t, func(t *testing.T, plain bool) {
				w := newWorld(t, nil)
				w.join("w3", plain, nil)
				w.join("w4", plain, nil)
				answer, err := e.ask(t.Context(), w)
				if err != nil {
					t.Fatal(err)
				}
				if d := same(t, answer, e.Reply); d != "" {
					t.Errorf("(-recorded +ours)\n%s", d)
				}
			})
		})
	}
}

// stoppedAuth is the daemons as they were when the errors were recorded.
type stoppedAuth struct{}

func (stoppedAuth) State(name string) string {
	if name == "wazuh-authd" {
		return "stopped"
	}
	return "running"
}

// Bad requests are answered as recorded, but for functions that are not there
// and what the original could not do.
func TestReplay_Errors(t *testing.T) {
	known := functions(t)
	for i, e := range recorded(t, "errors.jsonl") {
		t.Run(fmt.Sprintf("%d %s %s", i, e.Node, e.function()), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Ready.Daemons = stoppedAuth{} })
				w.join("w3", true, nil)
				w.join("w4", true, nil)
				answer, err := e.ask(t.Context(), w)
				r, undecodable := DecodeRequest(e.Request, 1<<20)
				switch {
				case undecodable != nil:
					if e.Final != "dapi_err" || !fault.Has(err, fault.Unspecified) {
						t.Errorf("got %s %v, recorded %s %s", answer, err, e.Final, e.Reply)
					}
				case err != nil:
					t.Errorf("got %v, recorded %s", err, e.Reply)
				case known.find(r.Function) == nil:
					if o := read(t, answer); o.Err == nil || o.Err.Extra != "the function "+e.function()+" is not there on this node" {
						t.Errorf("got %s", answer)
					}
				case e.Role == "master" && r.Type == DistributedMaster && r.Args.Has("node_id"): // the original fails
					if got := items(t, answer); !strings.Contains(got, strings.Trim(string(r.Args.Get("node_id")), `"`)) {
						t.Errorf("got %s", got)
					}
				case r.Args.Has("sort"), r.Function.Name == "get_nodes_info" && r.Async: // the data are others
				default:
					// Of a worker's request of a type that does not exist the original says that it is the worker's.
					want := bytes.ReplaceAll(e.Reply, []byte(`{"w3":`), []byte(`{"m3":`))
					if d := same(t, answer, want); d != "" {
						t.Errorf("(-recorded +ours)\n%s", d)
					}
				}
			})
		})
	}
}

// Where the original waits for 200 s, or for ever, ours answers at once.
func TestReplay_NodeGone(t *testing.T) {
	want := []fault.Code{fault.UnknownNode, fault.NodeAbsent, fault.UnknownNode, fault.UnknownNode, 0}
	gone := map[int]bool{0: true, 1: true, 4: true} // w4 has gone before; else it goes while it works
	for i, e := range recorded(t, "node-gone.jsonl") {
		t.Run(fmt.Sprintf("%d %s %s", i, e.Node, e.function()), func(t *testing.T) {
			both(t, func(t *testing.T, plain bool) {
				w := newWorld(t, nil)
				w.join("w3", plain, nil)
				w4 := w.join("w4", plain, nil)
				if gone[i] {
					w4.cut()
				} else {
					time.AfterFunc(4*time.Second, w4.cut)
				}
				began := time.Now()
				answer, err := e.ask(t.Context(), w)
				took := time.Since(began)
				if gone[i] && took > 0 || took > 4*time.Second {
					t.Errorf("took %v", took)
				}
				var got fault.Code
				if err != nil {
					got = fault.From(err).Code
				} else {
					got = code(t, answer)
				}
				if got != want[i] {
					t.Errorf("got %s %v, want %d", answer, err, want[i])
				}
				if len(e.First) > 0 && e.First[0] == "err" {
					if d := same(t, fault.From(err).JSON(), []byte(e.First[1])); d != "" {
						t.Errorf("(-recorded +ours)\n%s", d)
					}
				}
			})
		})
	}
}
