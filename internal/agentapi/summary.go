package agentapi

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/query"
	"testudo/internal/result"
)

// notManager leaves out the manager's own row.
const notManager = "id <> 0"

type namedArgs struct {
	Agents []string `json:"agent_list"`
}

// states counts agents: by connection and by whether they have their group's
// files.
type states struct {
	connection     map[agent.Status]int
	synced, behind int
}

func (s *states) total() int { return s.synced + s.behind }

// JSON is the object of the answer.
func (s *states) JSON() json.RawMessage {
	dst := []byte(`{"connection": {`)
	for _, status := range []agent.Status{agent.Active, agent.Disconnected, agent.NeverConnected, agent.Pending} {
		dst = append(append(append(dst, '"'), status...), `": `...)
		dst = append(strconv.AppendInt(dst, int64(s.connection[status]), 10), ", "...)
	}
	count := func(name string, n int, end string) {
		dst = append(strconv.AppendInt(append(dst, name...), int64(n), 10), end...)
	}
	count(`"total": `, s.total(), "}, ")
	count(`"configuration": {"synced": `, s.synced, ", ")
	count(`"not_synced": `, s.behind, ", ")
	count(`"total": `, s.total(), "}}")
	return dst
}

func (a *API) summaryStatus(ctx context.Context, c *dapi.Call, args namedArgs) (result.Result, error) {
	p, err := a.readable(ctx, c, args.Agents)
	if err != nil {
		return nil, err
	}
	s, err := a.states(ctx, &p)
	if err != nil {
		return nil, err
	}
	return result.NewPlain(result.Object{{Name: "data", Value: s.JSON()}})
}

func (a *API) states(ctx context.Context, p *permit) (*states, error) {
	w, err := a.agentsOf(p)
	if err != nil {
		return nil, err
	}
	list := agent.Statuses()
	statement := "SELECT total(group_config_status = 'synced'), count(*)"
	for _, status := range list {
		statement += ", total(connection_status = '" + string(status) + "')"
	}
	s := &states{connection: map[agent.Status]int{}}
	q := query.Statement{SQL: statement + " FROM agent" + w.String(), Args: w.Args(), Columns: 2 + len(list)}
	err = a.cfg.Database.Rows(ctx, q, func(r Row) error {
		s.synced = int(r.Int64(0))
		s.behind = int(r.Int64(1)) - s.synced
		for i, status := range list {
			s.connection[status] = int(r.Int64(2 + i))
		}
		return nil
	})
	return s, refused(err)
}

// agentsOf is the condition that an agent is permitted, and not the manager.
func (a *API) agentsOf(p *permit) (*query.Where, error) {
	w := a.agentTable().Where().And(notManager)
	return w, p.narrow(w)
}

func (a *API) summaryOS(ctx context.Context, c *dapi.Call, args namedArgs) (result.Result, error) {
	p, err := a.readable(ctx, c, args.Agents)
	if err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg:  "Showing the operative system of all specified agents",
		SomeMsg: "Could not get the operative system of some agents",
		NoneMsg: "Could not get the operative system of the agents",
	}
	p.fail(r)
	w, err := a.agentsOf(&p)
	if err != nil {
		return nil, err
	}
	statement := "SELECT DISTINCT os_platform FROM agent" + w.And("os_platform <> ''").String() + " ORDER BY 1"
	err = a.cfg.Database.Rows(ctx, query.Statement{SQL: statement, Args: w.Args(), Columns: 1}, func(row Row) error {
		r.Items = append(r.Items, appendText(nil, row.AppendText(nil, 0)))
		r.Total++
		return nil
	})
	return r, refused(err)
}

type distinctArgs struct {
	query.Args
	Agents []string `json:"agent_list"`
	Fields []string `json:"fields"`
}

func (a *API) distinct(ctx context.Context, c *dapi.Call, args distinctArgs) (result.Result, error) {
	p, err := a.readable(ctx, c, args.Agents)
	if err != nil {
		return nil, err
	}
	r := agentMessages()
	p.fail(r)
	req, err := args.Request(defaultLimit)
	if err != nil {
		return nil, err
	}
	r.Items, r.Total, err = a.grouped(ctx, &p, &req, args.Fields, nil)
	return r, err
}

// countField is the column behind the fields of a group.
var countField = query.Field{Name: "count", Column: "count(*)", Kind: query.Number}

// grouped counts agents by the values of fields, all for none. total is the
// number of agents. Groups come in the order of their first agent.
func (a *API) grouped(ctx context.Context, p *permit, req *query.Request, names []string, also func(*query.Where) error) (items []json.RawMessage, total int, err error) {
	table := a.agentTable()
	if len(names) == 0 {
		names = nil
	}
	fields, err := table.Selected(names, nil)
	if err != nil {
		return nil, 0, err
	}
	w, err := a.where(table, p, nil, req, also)
	if err != nil {
		return nil, 0, err
	}
	s, err := w.Groups(req, fields)
	if err != nil || p.none() {
		return nil, 0, err
	}
	if items, err = a.rows().write(ctx, s, newRowWriter(append(fields, &countField)).unknown().append); err != nil {
		return nil, 0, err
	}
	total, err = a.rows().count(ctx, w.Count(nil))
	return items, total, err
}

type overviewArgs struct {
	query.Args
	Agents  []string `json:"agent_list"`
	Filters filters  `json:"filters"`
}

// overview is the list of the original's command line.
func (a *API) overview(ctx context.Context, c *dapi.Call, args overviewArgs) (result.Result, error) {
	for name, values := range args.Filters { // which the command line joins
		args.Filters[name] = strings.Split(strings.Join(values, ","), ",")
	}
	list, err := a.list(ctx, c, agentsArgs(args), listing{always: []string{"id"}})
	if err != nil {
		return nil, err
	}
	r := list.(*result.Affected) //nolint:forcetypeassert // what list gives
	size := len(`{"items": [], "totalItems": 2147483647}`)
	for _, item := range r.Items {
		size += len(item) + 2
	}
	dst := append(make([]byte, 0, size), `{"items": [`...)
	for i, item := range r.Items {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, item...)
	}
	dst = strconv.AppendInt(append(dst, `], "totalItems": `...), int64(r.Total), 10)
	return &result.Plain{Body: append(dst, '}')}, nil
}

// noneNamed wants everything.
func noneNamed(limit int) *query.Request { return &query.Request{Limit: limit} }
