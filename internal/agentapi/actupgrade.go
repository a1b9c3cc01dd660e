package agentapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
	"testudo/internal/unixsock"
)

// upgradeSocket is where a node's upgrade module takes requests
// (docs/agentfunctions.md §5).
const upgradeSocket = "queue/tasks/upgrade"

// How many agents one request to the module names at first.
const (
	upgradeChunk = 500
	resultChunk  = 97
)

// Errors of the module.
const (
	moduleTooMany = fault.Upgrade + 4 // it could not pass the request on; fewer agents may do
	moduleNoTask  = fault.Upgrade + 3 // the agent has no task
)

// moduleAgents are the errors for which an agent is to blame, and not the module.
var moduleAgents = []fault.Code{fault.Upgrade + 9, fault.Upgrade + 10, fault.Upgrade + 11, fault.Upgrade + 12}

type upgradeArgs struct {
	Agents    list    `json:"agent_list"`
	Repo      *string `json:"wpk_repo"`
	Version   *string `json:"version"`
	HTTP      bool    `json:"use_http"`
	Force     bool    `json:"force"`
	File      *string `json:"file_path"` // of the user's own package
	Installer *string `json:"installer"`
	Filters   filters `json:"filters"`
	Q         string  `json:"q"`
}

type upgradeParameters struct {
	Agents    []agent.ID `json:"agents"`
	Version   string     `json:"version,omitempty"`
	Force     *bool      `json:"force_upgrade,omitempty"`
	HTTP      *bool      `json:"use_http,omitempty"`
	Repo      *string    `json:"wpk_repo,omitempty"`
	File      *string    `json:"file_path,omitempty"`
	Installer *string    `json:"installer,omitempty"`
}

// upgrade has this node's module upgrade agents that report to it.
func (x *Changes) upgrade(ctx context.Context, c *dapi.Call, a upgradeArgs) (result.Result, error) {
	r := &result.Affected{
		SortFields: []string{"agent"},
		AllMsg:     "All upgrade tasks were created",
		SomeMsg:    "Some upgrade tasks were not created",
		NoneMsg:    "No upgrade task was created",
	}
	command, p := "upgrade", upgradeParameters{Repo: a.Repo, Force: &a.Force, HTTP: &a.HTTP}
	if a.Version != nil && *a.Version != "" {
		p.Version = "v" + strings.TrimPrefix(*a.Version, "v")
	}
	if a.File != nil {
		command, p = "upgrade_custom", upgradeParameters{File: a.File, Installer: a.Installer, Force: &a.Force, HTTP: &a.HTTP}
	}
	return x.upgrading(ctx, c, r, a, command, upgradeChunk, p, moduleAgents...)
}

type upgradeResultArgs struct {
	Agents  list    `json:"agent_list"`
	Filters filters `json:"filters"`
	Q       string  `json:"q"`
}

// upgradeResult tells what has become of upgrades.
func (x *Changes) upgradeResult(ctx context.Context, c *dapi.Call, a upgradeResultArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg:  "All upgrade tasks were returned",
		SomeMsg: "Some upgrade tasks were not returned",
		NoneMsg: "No upgrade task was returned",
	}
	args := upgradeArgs{Agents: a.Agents, Filters: a.Filters, Q: a.Q}
	return x.upgrading(ctx, c, r, args, "upgrade_result", resultChunk, upgradeParameters{}, moduleNoTask)
}

// upgrading asks the module about the active agents that meet the conditions.
func (x *Changes) upgrading(ctx context.Context, c *dapi.Call, r *result.Affected, a upgradeArgs, command string, chunk int, p upgradeParameters, told ...fault.Code) (result.Result, error) {
	s, err := x.scope(ctx, c, "agent:upgrade", agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	found, err := x.reportingHere(ctx, r, s)
	if err != nil {
		return nil, err
	}
	meet := make([]agent.ID, len(found))
	for i, f := range found {
		meet[i] = f.id
	}
	if meet, err = x.matching(ctx, r, meet, a.Filters, a.Q); err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(f state) bool { // both are by id
		if len(meet) > 0 && meet[0] == f.id {
			meet = meet[1:]
			return false
		}
		return true
	})
	var ids []agent.ID
	for _, f := range active(r, found) {
		ids = append(ids, f.id)
	}
	var tasks []upgradeTask
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		p.Agents = ids[:n]
		part, err := x.module(ctx, command, p)
		if fault.Has(err, moduleTooMany) && n > 1 {
			chunk = n / 2
			continue
		}
		if err != nil {
			return nil, err
		}
		tasks, ids = append(tasks, part...), ids[n:]
	}
	if err := addTasks(r, tasks, told); err != nil {
		return nil, err
	}
	s.finish(r, append([]fault.Code{fault.UnknownAgent, fault.ManagerAgent, fault.AgentInactive, fault.AgentFiltered}, told...)...)
	return r, nil
}

// upgradeTask is what the module says of one agent.
type upgradeTask struct {
	agent   agent.ID
	code    fault.Code
	message string
	members result.Object
}

// module asks the upgrade module. What it refuses as a whole is the error, number
// 1810 plus its own.
func (x *Changes) module(ctx context.Context, command string, p upgradeParameters) ([]upgradeTask, error) {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Talk)
	defer cancel()
	body, err := compact(struct {
		Version    int               `json:"version"`
		Origin     map[string]string `json:"origin"`
		Command    string            `json:"command"`
		Parameters upgradeParameters `json:"parameters"`
	}{1, map[string]string{"module": "api"}, command, p})
	if err != nil {
		return nil, err
	}
	limits := unixsock.Limits{Message: 1 << 20, Reply: 1 << 20}
	client, err := unixsock.Dial(ctx, filepath.Join(x.cfg.Dir, upgradeSocket), unixsock.LengthPrefix(), limits)
	if err != nil {
		return nil, fault.Wrap(fault.SocketMissing, upgradeSocket, err)
	}
	defer client.Close()
	reply, err := client.Call(ctx, body)
	if err != nil {
		return nil, fault.Wrap(fault.SocketTalk, upgradeSocket, err)
	}
	return readTasks(reply)
}

// readTasks reads an answer of the module.
func readTasks(reply []byte) ([]upgradeTask, error) {
	var answer struct {
		Error   *int              `json:"error"`
		Message string            `json:"message"`
		Data    []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(reply, &answer); err != nil || answer.Error == nil {
		return nil, fault.Wrap(fault.SocketTalk, upgradeSocket+": the answer is not understood", err)
	}
	if n := *answer.Error; n != 0 {
		return nil, moduleError(n, answer.Message)
	}
	tasks := make([]upgradeTask, 0, len(answer.Data))
	for _, data := range answer.Data {
		var t struct {
			Error   int       `json:"error"`
			Message string    `json:"message"`
			Agent   *agent.ID `json:"agent"`
		}
		members, err := result.ReadObject(data, result.Limits{})
		if err = errors.Join(err, json.Unmarshal(data, &t)); err != nil || t.Agent == nil {
			return nil, fault.Wrap(fault.SocketTalk, upgradeSocket+": the answer is not understood", err)
		}
		task := upgradeTask{agent: *t.Agent, message: t.Message, members: members}
		if t.Error != 0 {
			task.code = moduleError(t.Error, "").Code
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

func moduleError(number int, text string) *fault.Error {
	if number < 0 || number > 89 {
		return fault.New(fault.SocketTalk, upgradeSocket+": "+text)
	}
	return fault.New(fault.Upgrade+fault.Code(number), text)
}

// addTasks makes items of the agents that have a task, and failed ones of those
// with an error that is told of agents. Any other error is that of the request.
func addTasks(r *result.Affected, tasks []upgradeTask, told []fault.Code) error {
	slices.SortFunc(tasks, func(a, b upgradeTask) int { return cmp.Compare(a.agent, b.agent) })
	for _, t := range tasks {
		if t.code != 0 {
			err := fault.New(t.code, t.message)
			if !slices.Contains(told, t.code) {
				return err
			}
			r.Fail(err, fault.TextID(t.agent.String()))
			continue
		}
		var item result.Object
		for _, m := range t.members {
			if m.Name == "agent" {
				if err := item.Set("agent", t.agent.String()); err != nil {
					return err
				}
				continue
			}
			if m.Name == "error" || m.Name == "message" && !t.members.Has("status") {
				continue // only results have words of their own
			}
			item = append(item, m)
		}
		if err := r.Add(item); err != nil {
			return err
		}
	}
	return nil
}
