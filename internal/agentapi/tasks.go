package agentapi

import (
	"context"
	"slices"
	"strconv"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

const taskStatus = "task:status"

// errNoTasks is the answer of a node whose database has none.
var errNoTasks = fault.New(fault.DatabaseUnreachable, "this node keeps no tasks: they are another program's")

// taskFields are the table of tasks as users see it (docs/functions.md §4.1).
var taskFields = []query.Field{
	{Name: "task_id", Column: "TASK_ID", Kind: query.Number},
	{Name: "agent_id", Column: "AGENT_ID", Kind: query.Number},
	{Name: "node", Column: "NODE"},
	{Name: "module", Column: "MODULE"},
	{Name: "command", Column: "COMMAND"},
	{Name: "create_time", Column: "CREATE_TIME", Kind: query.Moment},
	{Name: "last_update_time", Column: "LAST_UPDATE_TIME", Kind: query.Moment},
	{Name: "status", Column: "STATUS"},
	{Name: "error_message", Column: "ERROR_MESSAGE"},
}

// taskFilters are filters whose name is not that of a field.
var taskFilters = map[string]string{"task_list": "task_id", "agent_list": "agent_id"}

type tasksArgs struct {
	query.Args
	Filters filters `json:"filters"`
}

// tasks lists the tasks of the module that upgrades agents.
func (a *API) tasks(ctx context.Context, c *dapi.Call, args tasksArgs) (result.Result, error) {
	if !c.Permissions.Allows(taskStatus, noResource+":*") {
		return nil, rbac.Denied(noResource)
	}
	if a.cfg.Tasks == nil {
		return nil, errNoTasks
	}
	req, err := args.Request(defaultLimit)
	if err != nil {
		return nil, err
	}
	always := []string{"task_id"}
	if req.Distinct {
		always = nil
	}
	t := &query.Table{From: "TASKS", Key: "task_id", Fields: taskFields, Now: a.cfg.Now, Plain: true}
	fields, err := t.Selected(req.Select, always)
	if err != nil {
		return nil, err
	}
	w, err := tasksWhere(t, args.Filters, &req)
	if err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg: "All specified task's status were returned", SomeMsg: "Some status were not returned", NoneMsg: "No status was returned",
	}
	r.Items, r.Total, err = rows{asking{a.cfg.Tasks}}.piece(ctx, t, w, &req, fields, taskWriter(fields), false)
	return r, err
}

func tasksWhere(t *query.Table, f filters, req *query.Request) (*query.Where, error) {
	w := t.Where()
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		field := name
		if other, ok := taskFilters[name]; ok {
			field = other
		}
		if err := w.Filter(field, f[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Q(req.Q); err != nil {
		return nil, err
	}
	w.Search(req.Search)
	return w, nil
}

// taskWriter writes tasks with the fields; what has no value is left out. Times
// are texts here.
func taskWriter(fields []*query.Field) writer {
	var scratch []byte
	return func(dst []byte, r Row) []byte {
		dst = append(dst, '{')
		for i, f := range fields {
			if r.Null(i) {
				continue
			}
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), f.Name...), `":`...)
			switch {
			case f.Name == "agent_id":
				dst = append(appendID(append(dst, '"'), r.Int64(i)), '"')
			case f.Kind == query.Number:
				dst = strconv.AppendInt(dst, r.Int64(i), 10)
			case f.Kind == query.Moment:
				dst = time.Unix(r.Int64(i), 0).UTC().AppendFormat(dst, `"2006-01-02T15:04:05Z"`)
			default:
				scratch = r.AppendText(scratch[:0], i)
				dst = appendText(dst, scratch)
			}
		}
		return append(dst, '}')
	}
}
