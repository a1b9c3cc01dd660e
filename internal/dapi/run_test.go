package dapi

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// How a function ends, and what the asker is told of it.
func TestRun_Ends(t *testing.T) {
	const seeLog = "Wazuh Internal Error. See log for more detail"
	white := `, "rbac_permissions": {"rbac_mode": "white", "agent:read": {"agent:id:001": "allow"}}, "current_user": "ann"`
	for name, c := range map[string]struct {
		ask   ask
		code  fault.Code
		class fault.Class
		text  string // the first node's error
		log   string // what the log says of it; "" for nothing
	}{
		"a panic":              {ask{function: "test.panic"}, 1000, fault.ClassInternal, seeLog, "a function panicked"},
		"nothing":              {ask{function: "test.nothing"}, 1000, fault.ClassInternal, "Wazuh Internal Error: the function gives no result", ""},
		"an error of no kind":  {ask{function: "test.plain_error"}, 1000, fault.ClassInternal, seeLog, "/some/path is missing"},
		"another argument":     {ask{function: "wazuh.agent.create_group", args: `{"group_id": "a", "x": 1}`}, 1000, fault.ClassInternal, seeLog, "no argument"},
		"no argument":          {ask{function: "wazuh.agent.create_group"}, 1000, fault.ClassInternal, seeLog, "is missing"},
		"null for an argument": {ask{function: "wazuh.agent.create_group", args: `{"group_id": null}`}, 0, "", "", ""},
		"a name in capitals":   {ask{function: "wazuh.agent.create_group", args: `{"GROUP_ID": "a"}`}, 1000, fault.ClassInternal, seeLog, "no argument"},
		"another type":         {ask{function: "wazuh.agent.create_group", args: `{"group_id": ["secret"]}`}, 1000, fault.ClassInternal, seeLog, "of another type"},
		"too late":             {ask{function: "test.sleep", args: `{"seconds": 11}`}, fault.APITimeout, fault.ClassInternal, "Timeout executing API request", ""},
		"not too late":         {ask{function: "test.sleep", args: `{"seconds": 11}`, more: `, "api_timeout": 12`}, 0, "", "", ""},
		"less is not taken":    {ask{function: "test.sleep", args: `{"seconds": 9}`, more: `, "api_timeout": 1`}, 0, "", "", ""},
		"waited for":           {ask{function: "test.sleep", args: `{"seconds": 190}`, more: `, "wait_for_complete": true`}, 0, "", "", ""},
		"deaf and late":        {ask{function: "test.stuck", args: `{"seconds": 50}`}, fault.APITimeout, fault.ClassInternal, "Timeout executing API request", ""},
		"all agents":           {ask{function: restart, args: `{"agent_list": "*"}`}, 0, "", "", ""},
		"not there":            {ask{function: "wazuh.agent.nope"}, 1000, fault.ClassInternal, "Wazuh Internal Error: the function wazuh.agent.nope is not there on this node", ""},
		"no daemon":            {ask{function: restart, more: `, "basic_services": ["x"]`}, 1000, fault.ClassInternal, seeLog, "what is no daemon"},
		"permitted":            {ask{function: "test.may", args: `{"action": "agent:read", "resource": "agent:id:001"}`, more: white}, 0, "", "", ""},
		"not permitted": {ask{function: "test.may", args: `{"action": "agent:read", "resource": "agent:id:002"}`, more: white},
			fault.PermissionDenied, fault.ClassPermission, "Permission denied: Resource type: agent:id", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				answer, err := w.Ask(t.Context(), "7", c.ask.JSON())
				o := read(t, mustAsk(t, answer, err))
				if c.code == 0 {
					if o.Err != nil {
						t.Fatalf("got %s", answer)
					}
					return
				}
				if o.Err == nil || o.Err.Code != c.code || o.Err.Class != c.class {
					t.Fatalf("got %s", answer)
				}
				node := "m3"
				if strings.Contains(c.ask.more, "white") {
					node = result.UnknownNode
				}
				said, _ := o.Err.NodeErrors[node].(map[string]any)
				if said["error"] != c.text {
					t.Errorf("told %v", o.Err.NodeErrors)
				}
				if c.log != "" {
					w.log.Want(t, c.log)
				} else if n := w.log.Count("Error in"); n > 0 {
					t.Errorf("logged: %s", w.log)
				}
				if w.log.Count("a secret") > w.log.Count("panicked") || w.log.Count(`"secret"`) > 0 {
					t.Errorf("an argument is in the log: %s", w.log)
				}
			})
		})
	}
}

// A function that does not end keeps its place until it does, so that there are
// never more than may run.
func TestRun_DeafFunctionKeepsItsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Queue = QueueConfig{Running: 2, Share: 2, Function: 1} })
		request := ask{function: "test.stuck", args: `{"seconds": 60}`}.JSON()
		for range 2 {
			go func() { _, _ = w.Ask(t.Context(), "7", request) }()
		}
		time.Sleep(30 * time.Second)
		w.slots.mu.Lock()
		if w.slots.running != 1 || w.slots.waiting != 1 {
			t.Errorf("%d run, %d wait", w.slots.running, w.slots.waiting)
		}
		w.slots.mu.Unlock()
		time.Sleep(3 * time.Minute)
		w.owesNothing(t)
	})
}

// stateOf is daemons with their states; others run.
type stateOf map[string]string

func (s stateOf) State(name string) string { return orDefault(s[name], "running") }

func TestReadiness(t *testing.T) {
	for name, c := range map[string]struct {
		ready    Readiness
		function string
		services []string
		want     string // not ready; "" for none
	}{
		"all run":            {Readiness{Daemons: stateOf{}}, restart, nil, ""},
		"one has stopped":    {Readiness{Daemons: stateOf{"wazuh-db": "stopped"}}, restart, nil, "wazuh-db->stopped"},
		"several":            {Readiness{Daemons: stateOf{"wazuh-db": "failed", "wazuh-modulesd": "restarting"}}, restart, nil, "wazuh-modulesd->restarting, wazuh-db->failed"},
		"one is starting":    {Readiness{Daemons: stateOf{"wazuh-db": "starting"}}, restart, nil, ""},
		"not asked for":      {Readiness{Daemons: stateOf{"wazuh-authd": "stopped"}}, restart, nil, ""},
		"asked for":          {Readiness{Daemons: stateOf{"wazuh-authd": "stopped"}}, restart, []string{"wazuh-authd"}, "wazuh-authd->stopped"},
		"who asks for it":    {Readiness{Daemons: stateOf{"wazuh-db": "stopped"}}, statusFunction, nil, ""},
		"embedded":           {Readiness{Daemons: stateOf{"wazuh-db": "stopped"}, Embedded: []string{"wazuh-db"}}, restart, nil, ""},
		"not installed":      {Readiness{Daemons: stateOf{"wazuh-db": "stopped"}, Installed: func(string) bool { return false }}, restart, nil, ""},
		"failed anyway":      {Readiness{Daemons: stateOf{"wazuh-db": "failed"}, Installed: func(string) bool { return false }}, restart, nil, "wazuh-db->failed"},
		"no agents connect":  {Readiness{Daemons: stateOf{"wazuh-remoted": "stopped"}, Local: true}, restart, nil, ""},
		"agents may connect": {Readiness{Daemons: stateOf{"wazuh-remoted": "stopped"}}, restart, nil, "wazuh-remoted->stopped"},
	} {
		i := strings.LastIndex(c.function, ".")
		r := &Request{Function: result.Callable{Module: c.function[:i], Qualname: c.function[i+1:]}, Services: c.services}
		err := (&readiness{Readiness: c.ready}).check(r, result.Origin{Node: "m3", Readable: true})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != fault.DaemonsNotReady || e.Message() != `Some Wazuh daemons are not ready yet in node "m3" (`+c.want+")" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A daemon that has come up is seen soon.
func TestReadiness_IsLookedAtAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		states := stateOf{"wazuh-db": "stopped"}
		w := newWorld(t, func(c *Config) { c.Ready.Daemons = states })
		request := ask{function: restart}.JSON()
		answer, err := w.Ask(t.Context(), "7", request)
		if got := code(t, mustAsk(t, answer, err)); got != fault.DaemonsNotReady {
			t.Errorf("got %s", answer)
		}
		delete(states, "wazuh-db")
		time.Sleep(readyFor)
		answer, err = w.Ask(t.Context(), "7", request)
		if got := code(t, mustAsk(t, answer, err)); got != 0 {
			t.Errorf("got %s", answer)
		}
	})
}

// other is another process that has functions.
type other func(ctx context.Context, request []byte) ([]byte, error)

func (o other) Run(ctx context.Context, request []byte) ([]byte, error) { return o(ctx, request) }

func TestFallback(t *testing.T) {
	for name, c := range map[string]struct {
		run  other
		want string
	}{
		"has it": {func(context.Context, []byte) ([]byte, error) {
			return []byte(`{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null, "result": {"a": 1}}}}`), nil
		}, `{"a": 1}`},
		"fails":           {func(context.Context, []byte) ([]byte, error) { return nil, fault.New(fault.SocketTalk, nil) }, "1014"},
		"gives nonsense":  {func(context.Context, []byte) ([]byte, error) { return []byte("nonsense"), nil }, "3036"},
		"gives no result": {func(context.Context, []byte) ([]byte, error) { return []byte("{}"), nil }, "1000"},
		"raises": {func(context.Context, []byte) ([]byte, error) {
			return fault.New(fault.DatabaseRead, "why").JSON(), nil
		}, "2007"},
		"does not come back": {func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }, "3021"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var asked atomic.Pointer[Request]
				w := newWorld(t, func(cfg *Config) {
					cfg.Fallback = other(func(ctx context.Context, request []byte) ([]byte, error) {
						r, err := DecodeRequest(request, 1<<20)
						if err != nil {
							return nil, err
						}
						asked.Store(r)
						return c.run(ctx, request)
					})
				})
				answer, err := w.Ask(t.Context(), "7", ask{"wazuh.sca.get_sca_list", `{"agent_list": "*", "x": 1}`, LocalMaster, ""}.JSON())
				o := read(t, mustAsk(t, answer, err))
				text := ""
				if o.Err != nil {
					text = strings.TrimPrefix(strings.Fields(o.Err.Error())[1], "Error ")
				} else if p, ok := o.Result.(*result.Plain); ok {
					text = string(p.Body)
				}
				if text != c.want {
					t.Errorf("got %s", answer)
				}
				if o.Err != nil && len(o.Err.NodeErrors) == 0 {
					t.Errorf("the error does not say whose it is: %s", answer)
				}
				if got := asked.Load(); got == nil || got.Function.Key() != "wazuh.sca.get_sca_list" || len(got.Args) != 1 {
					t.Errorf("it was asked %+v", got)
				}
			})
		})
	}
}

// What runs when a node ends is ended.
func TestClose_EndsWhatRuns(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		done := aside(func() ([]byte, error) {
			return w.Ask(t.Context(), "7", ask{function: "test.sleep", args: `{"seconds": 9}`}.JSON())
		})
		synctest.Wait()
		w.Close()
		if got := <-done; got.took != 0 {
			t.Errorf("took %v", got.took)
		}
	})
}

func TestRegistry(t *testing.T) {
	run := func(context.Context, *Call, json.RawMessage) (result.Result, error) { return nil, nil }
	for name, list := range map[string][]Function{
		"twice":     {{Module: "a", Name: "b", Run: run}, {Module: "a", Name: "b", Run: run}},
		"no name":   {{Module: "a", Run: run}},
		"no module": {{Name: "b", Run: run}},
		"no Run":    {{Module: "a", Name: "b"}},
	} {
		if _, err := NewRegistry(list...); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	type common struct {
		Offset int `json:"offset"`
	}
	f := Typed(Function{Module: "b", Name: "c"}, func(_ context.Context, _ *Call, a struct {
		common
		Name   string   `json:"name" required:"true"`
		Hidden int      `json:"-"`
		List   []string `json:"list,omitempty"`
	}) (result.Result, error) {
		return result.NewPlain(map[string]any{"offset": a.Offset, "name": a.Name, "list": a.List})
	})
	r, err := NewRegistry(f, Function{Module: "a", Name: "z", Run: run})
	if err != nil {
		t.Fatal(err)
	}
	if list := r.Functions(); len(list) != 2 || list[0].Key() != "a.z" || len(list[1].Params) != 3 {
		t.Errorf("got %+v", list)
	}
	got, err := f.Run(t.Context(), &Call{Permissions: rbac.All()}, json.RawMessage(`{"offset": 3, "name": "n", "list": ["x"]}`))
	if err != nil || string(got.(*result.Plain).Body) != `{"list":["x"],"name":"n","offset":3}` {
		t.Errorf("got %+v, %v", got, err)
	}
	var wrong *ArgumentError
	for _, args := range []string{`{}`, `{"name": 1}`, `{"name": "n", "Hidden": 1}`, `[]`, `{"name": "n", "offset": "x"}`} {
		if _, err := f.Run(t.Context(), &Call{}, json.RawMessage(args)); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
