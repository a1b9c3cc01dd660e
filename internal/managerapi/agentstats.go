package managerapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

const (
	agentPart    = "agent"
	collectorSoc = sockets + "logcollector"
)

type componentArgs struct {
	Agents    []string `json:"agent_list"`
	Component string   `json:"component" required:"true"`
}

// componentStats asks agents for what one of their parts has counted.
func (a *API) componentStats(ctx context.Context, c *dapi.Call, args componentArgs) (result.Result, error) {
	if args.Component != agentPart && args.Component != "logcollector" {
		return nil, &dapi.ArgumentError{Function: moduleStats + ".get_agents_component_stats_json", Reason: "no such component"}
	}
	scope, err := a.agentsNamed(ctx, c, args.Agents)
	if err != nil {
		return nil, err
	}
	r := statistics("", "agent")
	scope.missed(r)
	defer scope.refused(r)
	for _, is := range scope.found {
		item, err := a.stateOf(ctx, is, args.Component)
		if stop := stopped(ctx); stop != nil {
			return nil, stop
		}
		var numbered *fault.Error
		switch {
		case err == nil:
			err = r.Add(item)
		case errors.As(err, &numbered):
			r.Fail(numbered, fault.TextID(is.id.String()))
			err = nil
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// stateOf asks one agent.
func (a *API) stateOf(ctx context.Context, is state, component string) (result.Object, error) {
	internal := func(code fault.Code, extra any) error {
		return &fault.Error{Code: code, Class: fault.ClassInternal, Extra: extra}
	}
	switch {
	case is.version == "":
		return nil, internal(fault.NoAgentVersion, nil)
	case !is.atLeast(4, 2, 0):
		return nil, internal(fault.AgentTooOld, "Minimum required version is 4.2.0")
	case is.id == agent.Manager && component == agentPart:
		return nil, fault.New(fault.NotForManager, nil)
	}
	socket, text := remoteSocket, is.id.String()+" "+component+" getstate"
	if is.id == agent.Manager {
		socket, text = collectorSoc, "getstate"
	}
	answer, err := a.ask(ctx, socket, []byte(text))
	if errors.Is(err, errNoSocket) {
		return nil, internal(fault.SocketRefused, nil)
	} else if err != nil {
		return nil, err
	}
	return readComponent(answer)
}

// readComponent reads the answer of an agent: JSON, or a word and why there is
// none.
func readComponent(answer []byte) (result.Object, error) {
	var v struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &v); err != nil || v.Data == nil {
		_, why, err := spoken(answer)
		if err != nil {
			return nil, err
		}
		return nil, &fault.Error{Code: fault.ComponentSilent, Class: fault.ClassBadRequest, Extra: string(why)}
	}
	item, err := readConfig(v.Data)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"last_keepalive", "last_ack"} {
		var text string
		if json.Unmarshal(item.Get(name), &text) != nil {
			continue
		}
		if at, err := time.Parse(time.DateTime, text); err == nil {
			if err := item.Set(name, at.Format("2006-01-02T15:04:05Z")); err != nil {
				return nil, err
			}
		}
	}
	return item, nil
}
