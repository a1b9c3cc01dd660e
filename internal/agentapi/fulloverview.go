package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/query"
	"testudo/internal/result"
)

// fullOverview counts agents in every way at once. The original asks its
// database six times; here one pass over the agents is enough.
func (a *API) fullOverview(ctx context.Context, c *dapi.Call, _ struct{}) (result.Result, error) {
	p, err := a.readable(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	o, err := a.census(ctx, &p)
	if err != nil {
		return nil, err
	}
	groups, err := a.listGroups(ctx, c, groupsArgs{})
	if err != nil {
		return nil, err
	}
	var last []json.RawMessage
	if o.any {
		if last, err = a.agentsWith(ctx, o.last); err != nil {
			return nil, err
		}
	}
	return data(result.Object{
		{Name: "nodes", Value: array(o.nodes.items())}, {Name: "groups", Value: array(groups.Items)},
		{Name: "agent_os", Value: array(o.systems.items())}, {Name: "agent_status", Value: o.states.JSON()},
		{Name: "agent_version", Value: array(o.versions.items())}, {Name: "last_registered_agent", Value: array(last)},
	})
}

// array writes a list of values.
func array(items []json.RawMessage) json.RawMessage {
	return append(append([]byte{'['}, bytes.Join(asBytes(items), []byte(", "))...), ']')
}

func asBytes(items []json.RawMessage) [][]byte {
	list := make([][]byte, len(items))
	for i, item := range items {
		list[i] = item
	}
	return list
}

// overviewCounts is what one pass over the agents finds.
type overviewCounts struct {
	nodes, systems, versions groupCount
	states                   states
	any                      bool
	last                     agent.ID // that was added last; of equal ones the first
}

// groupCount counts rows by texts, in the order in which they are first met. At
// most groupsShown of them are shown.
type groupCount struct {
	places map[string]int
	counts []int
	key    []byte // of the row at hand, as the JSON that the item begins with
}

const groupsShown = defaultLimit

// add counts a row; its values begin at column.
func (g *groupCount) add(w *rowWriter, r Row, column int) {
	g.key = w.append(g.key[:0], shifted{r, column})
	at, known := g.places[string(g.key)]
	if !known {
		at = len(g.counts)
		g.places[string(g.key)] = at
		g.counts = append(g.counts, 0)
	}
	g.counts[at]++
}

func (g *groupCount) items() []json.RawMessage {
	items := make([]json.RawMessage, len(g.counts))
	for key, at := range g.places {
		item := append([]byte(strings.TrimSuffix(key, "}")), `,"count":`...)
		items[at] = append(strconv.AppendInt(item, int64(g.counts[at]), 10), '}')
	}
	return items[:min(len(items), groupsShown)]
}

// shifted is a row seen from a later column on.
type shifted struct {
	Row
	by int
}

func (s shifted) Null(column int) bool   { return s.Row.Null(column + s.by) }
func (s shifted) Int64(column int) int64 { return s.Row.Int64(column + s.by) }
func (s shifted) AppendText(dst []byte, column int) []byte {
	return s.Row.AppendText(dst, column+s.by)
}

// census passes over the permitted agents.
func (a *API) census(ctx context.Context, p *permit) (*overviewCounts, error) {
	table := a.agentTable()
	o := &overviewCounts{states: states{connection: map[agent.Status]int{}}}
	columns, at := []string{"id", "date_add", "connection_status", "group_config_status"}, []int{}
	groups := []*groupCount{&o.nodes, &o.systems, &o.versions}
	var writers []*rowWriter
	for i, names := range [][]string{{"node_name"}, {"os.name", "os.platform", "os.version"}, {"version"}} {
		fields, err := table.Selected(names, nil)
		if err != nil {
			return nil, err
		}
		*groups[i] = groupCount{places: map[string]int{}}
		writers, at = append(writers, newRowWriter(fields).unknown()), append(at, len(columns))
		for _, f := range fields {
			columns = append(columns, f.Column)
		}
	}
	w, err := a.agentsOf(p)
	if err != nil {
		return nil, err
	}
	newest := int64(0)
	var text []byte
	s := query.Statement{SQL: "SELECT " + strings.Join(columns, ", ") + " FROM agent" + w.String() + " ORDER BY id", Args: w.Args(), Columns: len(columns)}
	err = a.cfg.Database.Rows(ctx, s, func(r Row) error {
		if added := r.Int64(1); !o.any || added > newest {
			o.any, o.last, newest = true, agent.ID(r.Int64(0)), added
		}
		text = r.AppendText(text[:0], 2)
		o.states.connection[agent.Status(text)]++
		if text = r.AppendText(text[:0], 3); string(text) == "synced" {
			o.states.synced++
		} else {
			o.states.behind++
		}
		for i, g := range groups {
			g.add(writers[i], r, at[i])
		}
		return nil
	})
	return o, refused(err)
}

// agentsWith is the agent with all fields, as a list.
func (a *API) agentsWith(ctx context.Context, id agent.ID) ([]json.RawMessage, error) {
	table := a.agentTable()
	fields, err := table.Selected(nil, nil)
	if err != nil {
		return nil, err
	}
	return a.rows().of(ctx, table, []int64{int64(id)}, fields, newRowWriter(fields).append)
}
