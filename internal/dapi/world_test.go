package dapi

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/peertest"
	"testudo/internal/rbac"
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

// recorded is who reported where when the recordings were made.
var recorded = roster{
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
	w.Master = NewMaster(cfg, functions(t), recorded)
	t.Cleanup(w.Master.Close)
	return w
}

// join connects a worker. To a plain one, and for it, the other is a 4.7.5
// node.
func (w *world) join(name string, plain bool, change func(*Config)) *member {
	w.t.Helper()
	m := &member{Worker: NewWorker(w.node(name, change), functions(w.t))}
	w.t.Cleanup(m.Worker.Close)
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

// sleeping counts the calls of test.sleep that run, by node.
var sleeping counter

type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(node string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[node] += n
}

func (c *counter) of(node string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[node]
}

// functions is what every node of the world can run.
func functions(t *testing.T) *Registry {
	t.Helper()
	r, err := NewRegistry(
		Typed(Function{Module: "wazuh.cluster", Name: "get_node_wrapper", Type: LocalAny}, whoAmI),
		Typed(Function{Module: "wazuh.cluster", Name: "get_nodes_info", Async: true, Client: "lc"}, whoAmI),
		Typed(Function{Module: "wazuh.cluster", Name: "get_status_json"}, func(context.Context, *Call, struct{}) (result.Result, error) {
			return result.NewPlain(map[string]any{"data": map[string]any{"enabled": "yes", "running": "yes"}})
		}),
		Typed(Function{Module: "wazuh.agent", Name: "restart_agents"}, restartAgents),
		Typed(Function{Module: "wazuh.agent", Name: "create_group"}, func(_ context.Context, _ *Call, a struct {
			Group string `json:"group_id" required:"true"`
		}) (result.Result, error) {
			return result.NewPlain(map[string]any{"message": a.Group})
		}),
		Typed(Function{Module: "wazuh.agent", Name: "get_agents"}, getAgents),
		Typed(Function{Module: "wazuh.agent", Name: "get_agents_summary_status"}, func(context.Context, *Call, struct{}) (result.Result, error) {
			return result.NewPlain(struct{}{})
		}),
		Typed(Function{Module: "wazuh.manager", Name: "get_status"}, whoAmI),
		Typed(Function{Module: "wazuh.syscheck", Name: "run"}, runSyscheck),
		Typed(Function{Module: "os", Name: "system"}, func(ctx context.Context, c *Call, args struct {
			Command string `json:"command"`
		}) (result.Result, error) {
			seconds, err := strconv.ParseFloat(strings.TrimPrefix(args.Command, "sleep "), 64)
			if err != nil {
				return nil, err
			}
			return sleep(ctx, c, sleepArgs{seconds})
		}),
		Typed(Function{Module: "test", Name: "sleep"}, sleep),
		Typed(Function{Module: "test", Name: "stuck"}, stuck),
		Typed(Function{Module: "test", Name: "large"}, large),
		Typed(Function{Module: "test", Name: "panic"}, func(context.Context, *Call, struct{}) (result.Result, error) {
			panic("a secret argument")
		}),
		Typed(Function{Module: "test", Name: "nothing"}, func(context.Context, *Call, struct{}) (result.Result, error) {
			return nil, nil
		}),
		Typed(Function{Module: "test", Name: "plain_error"}, func(context.Context, *Call, struct{}) (result.Result, error) {
			return nil, errors.New("/some/path is missing")
		}),
		Typed(Function{Module: "test", Name: "may"}, may),
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func whoAmI(_ context.Context, c *Call, _ struct{}) (result.Result, error) {
	a := &result.Affected{AllMsg: "All selected information was returned", NoneMsg: "No information was returned"}
	kind := map[bool]string{true: "master", false: "worker"}[c.Master]
	return a, a.Add(json.RawMessage(`{"node": "` + c.Node + `", "cluster": "wazuh", "type": "` + kind + `"}`))
}

// restartAgents affects the agents of the list that are there; the master says
// which are not.
func restartAgents(_ context.Context, c *Call, args struct {
	Agents []string `json:"agent_list"`
}) (result.Result, error) {
	a := &result.Affected{AllMsg: "all", SomeMsg: "some", NoneMsg: "none"}
	for _, id := range args.Agents {
		if n, err := agent.ParseID(id); err != nil || n > 12 {
			a.Fail(fault.New(fault.UnknownAgent, nil), fault.TextID(id))
			continue
		}
		if err := a.Add(id); err != nil {
			return nil, err
		}
	}
	if args.Agents == nil {
		return a, a.Add(c.Node)
	}
	return a, nil
}

func runSyscheck(_ context.Context, _ *Call, args struct {
	Agents []string `json:"agent_list"`
}) (result.Result, error) {
	a := &result.Affected{
		AllMsg: "Syscheck scan was restarted on returned agents", SomeMsg: "Syscheck scan was not restarted on some agents",
		NoneMsg: "No syscheck scan was restarted",
	}
	for _, id := range args.Agents {
		if err := a.Add(id); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func getAgents(_ context.Context, _ *Call, args struct {
	Limit   *int            `json:"limit"`
	Select  []string        `json:"select"`
	Filters json.RawMessage `json:"filters"`
	Query   string          `json:"q"`
	Sort    json.RawMessage `json:"sort"`
}) (result.Result, error) {
	switch {
	case args.Limit != nil && *args.Limit == 0:
		return nil, fault.New(fault.LimitZero, nil)
	case args.Query == "zzz":
		return nil, &fault.Error{Code: 1407, Class: fault.ClassBadRequest, Extra: args.Query}
	}
	return &result.Affected{}, nil
}

type sleepArgs struct {
	Seconds float64 `json:"seconds"`
}

// sleep takes some seconds of the bubble and then names the node.
func sleep(ctx context.Context, c *Call, args sleepArgs) (result.Result, error) {
	sleeping.add(c.Node, 1)
	defer sleeping.add(c.Node, -1)
	select {
	case <-time.After(time.Duration(args.Seconds * float64(time.Second))):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a := &result.Affected{SortCasting: []string{"str"}}
	return a, a.Add(c.Node)
}

// stuck is a function that does not care about its context.
func stuck(_ context.Context, _ *Call, args struct {
	Seconds int `json:"seconds"`
}) (result.Result, error) {
	time.Sleep(time.Duration(args.Seconds) * time.Second) // of the bubble
	return &result.Affected{}, nil
}

// large gives an answer of so many bytes.
func large(_ context.Context, _ *Call, args struct {
	Bytes int `json:"bytes"`
}) (result.Result, error) {
	return &result.Plain{Body: json.RawMessage(`{"x": "` + strings.Repeat("x", args.Bytes) + `"}`)}, nil
}

// may says what the request's permissions allow.
func may(_ context.Context, c *Call, args struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
}) (result.Result, error) {
	if !c.Permissions.Allows(args.Action, args.Resource) {
		return nil, rbac.Denied("agent:id", args.Resource)
	}
	return result.NewPlain(map[string]any{"user": c.User})
}
