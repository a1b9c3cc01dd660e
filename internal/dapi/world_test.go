package dapi

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/peertest"
	"testudo/internal/result"
)

func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// roster says in tests who reports where.
type roster []AgentNode

func (r roster) NodesOf(_ context.Context, ids []agent.ID) (list []AgentNode, err error) {
	for _, a := range r {
		if ids == nil || slices.Contains(ids, a.ID) {
			list = append(list, a)
		}
	}
	return list, nil
}

// whoReports is who reported where when the recordings were made.
var whoReports = roster{
	{0, "m3"}, {1, "m3"}, {2, "m3"}, {3, "m3"}, {4, "m3"}, {5, "w3"}, {6, "w3"}, {7, "w3"}, {8, "w3"},
	{9, "w4"}, {10, "w4"}, {11, "w9"}, {12, "unknown"},
}

// world is a cluster of a master m3 and workers.
type world struct {
	*Master
	t       *testing.T
	log     *peertest.Lines
	workers map[string]*member

	mu    sync.Mutex
	names []string // connected workers
}

// member is a worker of the world.
type member struct {
	*Worker
	master, worker *pairtest.End
	cut            func()
}

// node makes the configuration of a node.
func (w *world) node(name string, change func(*Config)) Config {
	cfg := Config{Node: name, Log: w.log.Logger()}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// newWorld starts a master m3. change, which may be nil, is for all nodes.
func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, log: peertest.NewLines(), workers: make(map[string]*member)}
	cfg := MasterConfig{Config: w.node("m3", change), Nodes: NodesFunc(func() []string {
		w.mu.Lock()
		defer w.mu.Unlock()
		return append([]string{"m3"}, w.names...)
	})}
	w.Master = NewMaster(cfg, functions(t), whoReports)
	t.Cleanup(w.Close)
	return w
}

// join connects a worker. To a plain one, and for it, the other is a 4.7.5
// node.
func (w *world) join(name string, plain bool, change func(*Config)) *member {
	w.t.Helper()
	m := &member{Worker: NewWorker(w.node(name, change), functions(w.t))}
	w.t.Cleanup(m.Close)
	var stop func()
	m.master, m.worker, stop = pairtest.Connect(w.t, name, plain, pairtest.Of(w.Offer), pairtest.Of(m.Offer))
	w.mu.Lock()
	w.names = append(w.names, name)
	w.mu.Unlock()
	m.cut = func() {
		w.mu.Lock()
		w.names = slices.DeleteFunc(w.names, func(n string) bool { return n == name })
		w.mu.Unlock()
		stop()
	}
	w.workers[name] = m
	synctest.Wait()
	return m
}

// both are the two kinds of peers.
func both(t *testing.T, f func(t *testing.T, plain bool)) {
	for _, plain := range []bool{false, true} {
		t.Run(map[bool]string{false: "Testudo", true: "4.7.5"}[plain], func(t *testing.T) {
			inBubble(t, func(t *testing.T) { f(t, plain) })
		})
	}
}

// ask is a request in few words.
type ask struct {
	function    string
	args        string // "{}" when empty
	requestType RequestType
	more        string // further keys, each with a comma before it
}

func (a ask) JSON() []byte {
	module, name := a.function[:strings.LastIndex(a.function, ".")], a.function[strings.LastIndex(a.function, ".")+1:]
	text := `{"f": {"__callable__": {"__name__": "` + name + `", "__module__": "` + module + `", "__qualname__": "` + name +
		`", "__type__": "function"}}, "f_kwargs": ` + orDefault(a.args, "{}")
	if a.requestType != "" {
		text += `, "request_type": "` + string(a.requestType) + `"`
	}
	return []byte(text + a.more + "}")
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// everybody is the key that names the nodes of the recordings.
const everybody = `, "nodes": ["m3", "w3", "w4"]`

// read reads an answer.
func read(t *testing.T, data []byte) result.Outcome {
	t.Helper()
	o, err := result.Decode(data, result.Limits{})
	if err != nil {
		t.Fatalf("%.300s: %v", data, err)
	}
	return o
}

// items are the affected items of an answer, which is to be a result.
func items(t *testing.T, data []byte) string {
	t.Helper()
	o := read(t, data)
	a, ok := o.Result.(*result.Affected)
	if !ok {
		t.Fatalf("got %.400s, want affected items", data)
	}
	list := make([]string, len(a.Items))
	for i, item := range a.Items {
		list[i] = string(item)
	}
	return strings.Join(list, " ")
}

// code is the number of an answer's error, 0 for a result.
func code(t *testing.T, data []byte) fault.Code {
	t.Helper()
	if o := read(t, data); o.Err != nil {
		return o.Err.Code
	}
	return 0
}

// mustAsk asks and wants an answer.
func mustAsk(t *testing.T, answer []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
