package dapi

import (
	"strings"
	"testing"
	"testing/synctest"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// far is a Testudo worker made by hand, with what the master sends it beside
// replies.
func (w *world) far(features ...string) (*pairtest.End, chan string) {
	got := make(chan string, 1)
	_, far, _ := pairtest.Connect(w.t, "w3", false, pairtest.Of(w.Offer), func(e *pairtest.End) {
		pairtest.ByHand(got, "dapi_res", "t_dapi_res", "dapi_err")(e)
		for _, f := range features {
			e.Mux.Offer(f)
		}
	})
	synctest.Wait()
	return far, got
}

func TestFirstReply(t *testing.T) {
	quick, slow := ask{function: "wazuh.cluster.get_node_wrapper"}.JSON(), ask{function: "test.sleep", args: `{"seconds": 3}`}.JSON()
	long := ask{function: "test.large", args: `{"bytes": 300000}`}.JSON()
	for _, c := range []struct {
		name     string
		features []string
		request  []byte
		reply    string // how it begins
		later    string // how what comes then begins
	}{
		{"at once", []string{session.FeatureReplies}, quick, `={"__wazuh_result__"`, ""},
		{"an error at once", []string{session.FeatureReplies}, ask{function: "test.plain_error"}.JSON(), `={"__wazuh_exception__"`, ""},
		{"not a request", []string{session.FeatureReplies}, []byte("{}"), textQueued, "dapi_err 7 {"},
		{"slow", []string{session.FeatureReplies}, slow, textQueued, `t_dapi_res 7 {"__wazuh_result__"`},
		{"long", []string{session.FeatureReplies}, long, textQueued, "dapi_res 7 "},
		{"older node", nil, quick, textQueued, `t_dapi_res 7 {"__wazuh_result__"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				far, got := w.far(c.features...)
				reply, err := far.Request(t.Context(), "t_dapi", append([]byte("7 60000 "), c.request...))
				if err != nil || !strings.HasPrefix(string(reply), c.reply) {
					t.Errorf("%.100q, %v", reply, err)
				}
				if c.later == "" {
					synctest.Wait()
					if len(got) > 0 {
						t.Errorf("then %.100q", <-got)
					}
				} else if text := <-got; !strings.HasPrefix(text, c.later) {
					t.Errorf("then %.100q", text)
				}
			})
		})
	}
}

// Who is told that there are too many requests is told nothing else.
func TestFirstReply_Busy(t *testing.T) {
	for _, features := range [][]string{nil, {session.FeatureReplies}} {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Queue.OpenBytes = 1000 })
			far, _ := w.far(features...)
			request := append([]byte("7 60000 "), strings.Repeat("x", 1000)...)
			if _, err := far.Request(t.Context(), "t_dapi", request); !fault.Has(err, fault.Busy) {
				t.Errorf("%v: %v", features, err)
			}
		})
	}
}
