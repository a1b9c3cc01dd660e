package agentapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
)

// defaultLimit is how many agents a list has unless the user says.
const defaultLimit = 500

// filters are values of fields; a list of them are alternatives.
type filters map[string]texts

// texts is a text or a list of them.
type texts []string

// UnmarshalJSON takes texts, numbers and lists of both; null is no list.
func (t *texts) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		list = []json.RawMessage{data}
	}
	for _, raw := range list {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			var n json.Number
			if err := json.Unmarshal(raw, &n); err != nil {
				return fmt.Errorf("neither a text nor a number: %w", err)
			}
			s = n.String()
		}
		*t = append(*t, s)
	}
	return nil
}

type agentsArgs struct {
	query.Args
	Agents  []string `json:"agent_list"`
	Filters filters  `json:"filters"`
}

func agentMessages() *result.Affected {
	return &result.Affected{
		AllMsg:  "All selected agents information was returned",
		SomeMsg: "Some agents information was not returned",
		NoneMsg: "No agent information was returned",
	}
}

func (a *API) agents(ctx context.Context, c *dapi.Call, args agentsArgs) (result.Result, error) {
	return a.list(ctx, c, args, listing{always: []string{"id"}})
}

// listing is what lists of agents differ in.
type listing struct {
	selected []string // unless the user selects
	always   []string
	also     func(w *query.Where) error // a condition beside those of the user
}

// list answers with agents.
func (a *API) list(ctx context.Context, c *dapi.Call, args agentsArgs, l listing) (result.Result, error) {
	req, err := args.Request(defaultLimit)
	if err != nil {
		return nil, err
	}
	if req.Select == nil {
		req.Select = l.selected
	}
	table := a.agentTable()
	always := l.always
	if req.Distinct {
		always = nil
	}
	fields, err := table.Selected(req.Select, always)
	if err != nil {
		return nil, err
	}
	p, err := a.readable(ctx, c, args.Agents)
	if err != nil {
		return nil, err
	}
	r := agentMessages()
	p.fail(r)
	w, err := a.where(table, &p, args.Filters, &req, l.also)
	if err != nil {
		return nil, err
	}
	if req.Distinct {
		w.Filled(fields)
	}
	r.Items, r.Total, err = a.rows().piece(ctx, table, w, &req, fields, newRowWriter(fields).append, p.none())
	return r, err
}

// source gives the rows of statements.
type source interface {
	Rows(ctx context.Context, s query.Statement, each func(Row) error) error
}

// rows makes lists of what a source has.
type rows struct{ source }

// rows is the agent database as lists see it.
func (a *API) rows() rows { return rows{a.cfg.Database} }

// writer appends a row as a JSON object.
type writer func(dst []byte, r Row) []byte

// piece reads the rows that a request wants, and counts them all. With none
// there are no rows, but what is wrong with the request is still told.
func (d rows) piece(ctx context.Context, t *query.Table, w *query.Where, req *query.Request, fields []*query.Field, item writer, none bool) (items []json.RawMessage, total int, err error) {
	if req.Distinct || w.Plain(req) {
		s, err := w.Rows(req, fields)
		if err != nil || none {
			return nil, 0, err
		}
		if items, err = d.write(ctx, s, item); err != nil {
			return nil, 0, err
		}
		total, err = d.total(ctx, w, req, fields, len(items))
		return items, total, err
	}
	// Keys alone are quickly sorted, and counted by the way.
	s, err := w.Keys(req)
	if err != nil || none {
		return nil, 0, err
	}
	var keys []int64
	err = d.Rows(ctx, s, func(r Row) error {
		if total++; total > req.Offset && (req.Limit == 0 || len(keys) < req.Limit) {
			keys = append(keys, r.Int64(0))
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return nil, total, refused(err)
	}
	items, err = d.of(ctx, t, keys, fields, item)
	return items, total, err
}

// of reads the rows of the keys, in their order.
func (d rows) of(ctx context.Context, t *query.Table, keys []int64, fields []*query.Field, item writer) (items []json.RawMessage, err error) {
	atOnce := len(keys)
	if t.Plain {
		atOnce = keysAtOnce
	}
	for some := range slices.Chunk(keys, atOnce) {
		s, err := t.RowsOf(some, fields)
		if err != nil {
			return nil, err
		}
		some, err := d.write(ctx, s, item)
		if err != nil {
			return nil, err
		}
		items = append(items, some...)
	}
	return items, nil
}

// where joins all conditions of a request.
func (a *API) where(table *query.Table, p *permit, f filters, req *query.Request, also func(*query.Where) error) (*query.Where, error) {
	w := table.Where()
	if err := p.narrow(w); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := a.filter(w, name, f[name]); err != nil {
			return nil, err
		}
	}
	if also != nil {
		if err := also(w); err != nil {
			return nil, err
		}
	}
	if err := w.Q(req.Q); err != nil {
		return nil, err
	}
	w.Search(req.Search)
	return w, nil
}

// filter adds the condition of one filter.
func (a *API) filter(w *query.Where, name string, values texts) error {
	if name != "older_than" {
		return w.Filter(name, values)
	}
	for _, v := range values {
		seconds, ok := query.Span(v)
		if !ok {
			return fault.New(fault.BadTimeFrame, v)
		}
		if seconds > 0 {
			before := a.cfg.Now().Unix() - seconds
			// What has never connected has no last keep-alive.
			w.And("id <> 0 AND CASE connection_status WHEN 'never_connected' THEN date_add ELSE last_keepalive END < ?", before)
		}
	}
	return nil
}

// write reads the rows of a statement as JSON objects.
func (d rows) write(ctx context.Context, s query.Statement, item writer) (items []json.RawMessage, err error) {
	var kept shelf
	err = d.Rows(ctx, s, func(r Row) error {
		items = append(items, kept.add(func(dst []byte) []byte { return item(dst, r) }))
		return nil
	})
	return items, refused(err)
}

// shelf keeps many small texts in a few large pieces.
type shelf struct{ free []byte }

const (
	leastPiece = 4 << 10
	mostPiece  = 256 << 10
	usualRow   = 1 << 10 // room for most texts
)

// add keeps what is appended.
func (s *shelf) add(text func(dst []byte) []byte) []byte {
	if cap(s.free)-len(s.free) < usualRow {
		s.free = make([]byte, 0, max(min(2*cap(s.free), mostPiece), leastPiece))
	}
	start := len(s.free)
	s.free = text(s.free)
	return s.free[start:len(s.free):len(s.free)]
}

// total counts the rows that the request would have without its limit; got is
// how many it has.
func (d rows) total(ctx context.Context, w *query.Where, req *query.Request, fields []*query.Field, got int) (int, error) {
	if (got > 0 || req.Offset == 0) && (req.Limit == 0 || got < req.Limit) {
		return req.Offset + got, nil
	}
	if !req.Distinct {
		if n, ok := d.source.(sized); ok && w.Empty() { // to count the rows takes as long as to read a hundred
			return n.Size(), nil
		}
		fields = nil
	}
	return d.count(ctx, w.Count(fields))
}

func (d rows) count(ctx context.Context, s query.Statement) (n int, err error) {
	err = d.Rows(ctx, s, func(r Row) error {
		n = int(r.Int64(0))
		return nil
	})
	return n, refused(err)
}

type inGroupArgs struct {
	agentsArgs
	Groups []string `json:"group_list" required:"true"`
}

// inGroup lists the agents of one group.
func (a *API) inGroup(ctx context.Context, c *dapi.Call, args inGroupArgs) (result.Result, error) {
	name, err := a.oneGroup(c, groupRead, args.Groups)
	if err != nil {
		return nil, err
	}
	return a.list(ctx, c, args.agentsArgs, listing{always: []string{"id"}, also: func(w *query.Where) error {
		return w.Filter("group", []string{name})
	}})
}

// outdated lists agents of another version than the manager's own row.
func (a *API) outdated(ctx context.Context, c *dapi.Call, args agentsArgs) (result.Result, error) {
	return a.list(ctx, c, args, listing{
		selected: []string{"version", "id", "name"},
		also: func(w *query.Where) error {
			w.And("id <> 0 AND version IS NOT (SELECT version FROM agent WHERE id = 0) AND version IS NOT NULL")
			return nil
		},
	})
}
