package managerapi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// talker is a daemon that tells statistics.
type talker struct{ name, socket string }

var talkers = []talker{
	{"wazuh-remoted", remoteSocket},
	{"wazuh-analysisd", analysisSock},
	{"wazuh-db", databaseSock},
}

const mostTalkers = 64 // of one request, which may name one more than once

// chosen are the daemons that a request names, or all of some for none. A name
// that is none of them is an argument that does not fit.
func chosen(function string, names []string, of []talker) ([]talker, error) {
	if len(names) == 0 {
		return of, nil
	}
	if len(names) > mostTalkers {
		return nil, &dapi.ArgumentError{Function: moduleStats + "." + function, Reason: "too many daemons"}
	}
	var list []talker
	for _, name := range names {
		before := len(list)
		for _, t := range of {
			if t.name == name {
				list = append(list, t)
			}
		}
		if len(list) == before {
			return nil, &dapi.ArgumentError{Function: moduleStats + "." + function, Reason: "no such daemon"}
		}
	}
	return list, nil
}

type daemonStatsArgs struct {
	Daemons []string `json:"daemons_list"`
}

func (a *API) daemonStats(ctx context.Context, c *dapi.Call, args daemonStatsArgs) (result.Result, error) {
	daemons, err := chosen("get_daemons_stats", args.Daemons, talkers)
	if err != nil {
		return nil, err
	}
	r := statistics("", "daemon")
	return a.about(c, "read", r, func() error {
		for _, daemon := range daemons {
			item, err := a.statsOf(ctx, daemon, "getstats", nil)
			if err := takeStats(ctx, r, daemon, item, err); err != nil {
				return err
			}
		}
		return nil
	})
}

// takeStats adds what a daemon has told, or that it has not.
func takeStats(ctx context.Context, r *result.Affected, daemon talker, item result.Object, err error) error {
	if err == nil {
		dated(item, "timestamp")
		if !item.Has("agents") { // with them, the original leaves it as it came
			dated(item, "uptime")
		}
		return r.Add(item)
	}
	if stop := stopped(ctx); stop != nil {
		return stop
	}
	var numbered *fault.Error
	if !errors.As(err, &numbered) {
		return err
	}
	r.Fail(numbered, fault.TextID(daemon.name))
	return nil
}

// statsOf asks a daemon for its statistics.
func (a *API) statsOf(ctx context.Context, daemon talker, command string, parameters map[string]any) (result.Object, error) {
	text, err := newMessage(command, parameters)
	if err != nil {
		return nil, err
	}
	answer, err := a.ask(ctx, daemon.socket, text)
	if errors.Is(err, errNoSocket) {
		return nil, &fault.Error{Code: fault.SocketRefused, Class: fault.ClassInternal, Extra: a.path(daemon.socket)}
	} else if err != nil {
		return nil, err
	}
	v, err := readAnswer(answer)
	if err != nil {
		return nil, err
	}
	if *v.Error != 0 {
		return nil, &fault.Error{Code: fault.Code(*v.Error), Class: fault.ClassException, Extra: v.Message}
	}
	return readConfig(v.Data)
}

// dated makes a moment of seconds since 1970. What is no number stays.
func dated(o result.Object, name string) {
	var at float64
	raw := o.Get(name)
	if raw == nil || json.Unmarshal(raw, &at) != nil || string(raw) == "null" || math.Abs(at) > 2e11 {
		return
	}
	whole, part := math.Modf(at)
	moment := result.Time(time.Unix(int64(whole), int64(math.Round(part*1e6))*1000).UTC())
	if encoded, err := json.Marshal(moment); err == nil {
		replace(o, name, encoded)
	}
}

func replace(o result.Object, name string, value json.RawMessage) {
	for i := range o {
		if o[i].Name == name {
			o[i].Value = value
		}
	}
}

// datedAgents reads a list of agents and makes moments of the seconds of each.
func datedAgents(agents json.RawMessage) (list []json.RawMessage, err error) {
	if agents == nil {
		return nil, nil
	}
	if json.Unmarshal(agents, &list) != nil {
		return nil, errAnswer
	}
	for i, raw := range list {
		o, err := readConfig(raw)
		if err != nil {
			return nil, err
		}
		dated(o, "uptime")
		list[i] = o.JSON()
	}
	return list, nil
}

type agentStatsArgs struct {
	Daemons []string `json:"daemons_list"`
	Agents  []string `json:"agent_list"`
}

// statsOnce is how many agents a daemon is asked for at a time.
const statsOnce = 74

// daemonStatsOfAgents asks the daemons what they have counted for agents.
func (a *API) daemonStatsOfAgents(ctx context.Context, c *dapi.Call, args agentStatsArgs) (result.Result, error) {
	daemons, err := chosen("get_daemons_stats_agents", args.Daemons, talkers[:2])
	if err != nil {
		return nil, err
	}
	r := statistics("", "daemon")
	r.SortCasting = []string{"str"}
	if len(args.Agents) == 1 && args.Agents[0] == "all" {
		args.Agents = nil
	}
	scope, err := a.agentsNamed(ctx, c, args.Agents)
	if err != nil {
		return nil, err
	}
	ids := askable(r, scope, args.Agents != nil)
	if len(ids) == 0 {
		return r, nil
	}
	for _, daemon := range daemons {
		item, err := a.statsOfAgents(ctx, daemon, ids)
		if err := takeStats(ctx, r, daemon, item, err); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// statsOfAgents asks a daemon for some agents at a time, and makes one of the
// answers: that of the first with the agents of all.
func (a *API) statsOfAgents(ctx context.Context, daemon talker, ids []agent.ID) (first result.Object, err error) {
	var all []json.RawMessage
	for part := range slices.Chunk(ids, statsOnce) {
		item, err := a.statsOf(ctx, daemon, "getagentsstats", map[string]any{"agents": part})
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = item
		}
		list, err := datedAgents(item.Get("agents"))
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return first, first.Set("agents", append([]json.RawMessage{}, all...))
}

// askable are the agents that statistics are there for; others that were named
// have failed.
func askable(r *result.Affected, s scope, named bool) (ids []agent.ID) {
	if named {
		s.missed(r)
		defer s.refused(r)
	}
	for _, is := range s.found {
		switch {
		case is.id != agent.Manager && is.status == "active":
			ids = append(ids, is.id)
		case !named:
		case is.id == agent.Manager:
			r.Fail(fault.New(fault.ManagerAgent, nil), fault.TextID(is.id.String()))
		default:
			r.Fail(fault.New(fault.AgentInactive, nil), fault.TextID(is.id.String()))
		}
	}
	return ids
}
