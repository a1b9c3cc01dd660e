package dapi

import (
	"testing"

	"testudo/internal/fault"
	"testudo/internal/result"
)

func TestRoute(t *testing.T) {
	const worker, master = false, true
	for _, c := range []struct {
		master      bool
		from        origin
		requestType RequestType
		fromCluster bool
		want        action
	}{
		{master, onSocket, LocalAny, false, runHere},
		{master, onSocket, LocalMaster, false, runHere},
		{master, onSocket, DistributedMaster, false, fanOut},
		{master, onSocket, DistributedMaster, true, runHere},
		{master, onSocket, "nonsense", false, refuse},

		{master, onCluster, LocalAny, false, runHere},
		{master, onCluster, LocalMaster, false, runHere},
		{master, onCluster, LocalMaster, true, runHere},
		{master, onCluster, DistributedMaster, false, fanOut},
		{master, onCluster, DistributedMaster, true, runHere},
		{master, onCluster, "nonsense", false, refuse},

		{worker, onSocket, LocalAny, false, askOwner},
		{worker, onSocket, LocalMaster, false, askOwner},
		{worker, onSocket, DistributedMaster, false, askOwner},
		{worker, onSocket, DistributedMaster, true, askOwner},
		{worker, onSocket, "nonsense", false, askOwner},

		{worker, onCluster, LocalAny, false, runHere},
		{worker, onCluster, LocalMaster, false, refuse},
		{worker, onCluster, LocalMaster, true, refuse},
		{worker, onCluster, DistributedMaster, false, refuse},
		{worker, onCluster, DistributedMaster, true, runHere},
		{worker, onCluster, "nonsense", false, refuse},
	} {
		if got := route(c.master, c.from, c.requestType, c.fromCluster, false); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
		want := runHere // without distribution every node runs what it is asked
		if c.want == askOwner {
			want = askOwner
		}
		if got := route(c.master, c.from, c.requestType, c.fromCluster, true); got != want {
			t.Errorf("alone, %+v: got %v, want %v", c, got, want)
		}
	}
}

// Which node answers, by who asks, of whom and how.
func TestRequest_IsRunByTheNodeThatKnows(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		who := func(requestType RequestType, args, more string) []byte {
			return ask{"wazuh.cluster.get_node_wrapper", args, requestType, everybody + more}.JSON()
		}
		onMaster := func(request []byte) ([]byte, error) { return w.Ask(t.Context(), "7", request) }
		onWorker := func(request []byte) ([]byte, error) { return w3.Ask(t.Context(), "7", request) }
		forwarded := func(request []byte) ([]byte, error) { return w.AskNode(t.Context(), "7", "w4", request) }
		for name, c := range map[string]struct {
			ask     func([]byte) ([]byte, error)
			request []byte
			want    string // a node, or the number of an error
		}{
			"any, of the master":                {onMaster, who(LocalAny, "", ""), "m3"},
			"any, of a worker":                  {onWorker, who(LocalAny, "", ""), "m3"},
			"any, forwarded":                    {forwarded, who(LocalAny, "", ""), "w4"},
			"the master, of a worker":           {onWorker, who(LocalMaster, "", ""), "m3"},
			"the master, forwarded":             {forwarded, who(LocalMaster, "", ""), "1000"},
			"a node, of a worker":               {onWorker, who(DistributedMaster, `{"node_id": "w4"}`, ""), "w4"},
			"itself, of a worker":               {onWorker, who(DistributedMaster, `{"node_id": "w3"}`, ""), "w3"},
			"the master, by name":               {onWorker, who(DistributedMaster, `{"node_id": "m3"}`, ""), "m3"},
			"a node, of the master":             {onMaster, who(DistributedMaster, `{"node_id": "w4"}`, ""), "w4"},
			"a list of one":                     {onMaster, who(DistributedMaster, `{"node_list": ["w3"]}`, ""), "w3"},
			"forwarded, distributed":            {forwarded, who(DistributedMaster, "", ""), "1000"},
			"forwarded, routed already":         {forwarded, who(DistributedMaster, "", `, "from_cluster": true`), "w4"},
			"routed already, of the master":     {onMaster, who(DistributedMaster, "", `, "from_cluster": true`), "m3"},
			"a type that does not exist":        {onMaster, who("nonsense", "", ""), "1000"},
			"all, whose items cannot be merged": {onWorker, who(DistributedMaster, `{"node_list": "*"}`, `, "broadcasting": true`), "1000"},
		} {
			answer, err := c.ask(c.request)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			want := `{"node":"` + c.want + `","cluster":"wazuh","type":"` + map[bool]string{true: "master", false: "worker"}[c.want == "m3"] + `"}`
			if c.want == "1000" {
				if got := code(t, answer); got != fault.Unspecified {
					t.Errorf("%s: got %s", name, answer)
				}
			} else if got := items(t, answer); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
	})
}

func TestAskNode_OfANodeThatIsNotThere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, node := range []string{"w9", "m3", ""} {
			_, err := w.AskNode(t.Context(), "7", node, ask{function: "wazuh.cluster.get_node_wrapper"}.JSON())
			if e := fault.From(err); !fault.Has(err, fault.UnknownNode) || e.Extra != nil || e.Class != fault.ClassCluster {
				t.Errorf("%q: %v", node, err)
			}
		}
	})
}

func TestWorker_WithoutAMaster(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		alone := NewWorker(Config{Node: "w3"}, functions(t))
		defer alone.Close()
		if _, err := alone.Ask(t.Context(), "7", ask{function: "test.sleep"}.JSON()); !fault.Has(err, fault.NotConnected) {
			t.Errorf("got %v", err)
		}
	})
}

// A request that cannot be decoded is an error of its own for those who can
// understand it, and a result for a master that waits for a node's answer.
func TestUndecodable(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		_, onMaster := w.Ask(t.Context(), "7", []byte("{"))
		_, onWorker := w3.Ask(t.Context(), "7", []byte("{"))
		for where, err := range map[string]error{"master": onMaster, "worker": onWorker} {
			if !fault.Has(err, fault.Unspecified) {
				t.Errorf("%s: %v", where, err)
			}
		}
		answer := mustAskNode(t, w, "w3", []byte("{"))
		if o := read(t, answer); o.Err == nil || o.Err.Code != fault.Unspecified || o.Result != result.Result(nil) {
			t.Errorf("forwarded: %s", answer)
		}
	})
}

func mustAskNode(t *testing.T, w *world, node string, request []byte) []byte {
	t.Helper()
	answer, err := w.AskNode(t.Context(), "7", node, request)
	return mustAsk(t, answer, err)
}
