package dapi

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

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
func functions(t testing.TB) *Registry {
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
		Typed(Function{Module: "test", Name: "shuffle"}, shuffle),
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

// shuffle takes as many milliseconds as are told for the node, and affects the
// numbers told for it; other nodes' fail.
func shuffle(_ context.Context, c *Call, args struct {
	Millis map[string]int   `json:"millis"`
	Items  map[string][]int `json:"items"`
}) (result.Result, error) {
	time.Sleep(time.Duration(args.Millis[c.Node]) * time.Millisecond) // of the bubble
	a := &result.Affected{}
	for _, n := range args.Items[c.Node] {
		if n < 0 {
			a.Fail(fault.New(fault.UnknownAgent, nil), fault.TextID(strconv.Itoa(-n)))
		} else if err := a.Add(n); err != nil {
			return nil, err
		}
	}
	return a, nil
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
