package agentapi

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/enrolment"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
	"testudo/internal/unixsock"
)

type deleteArgs struct {
	Agents  list    `json:"agent_list"`
	Purge   bool    `json:"purge"` // nothing of the agent is kept in client.keys
	Filters filters `json:"filters"`
	Q       string  `json:"q"`
}

// deleteAgents has the enrolment daemon remove agents that meet the conditions.
// It removes the keys; the database follows them.
func (x *Changes) deleteAgents(ctx context.Context, c *dapi.Call, a deleteArgs) (result.Result, error) {
	if err := onMaster(c); err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg: "All selected agents were deleted", SomeMsg: "Some agents were not deleted", NoneMsg: "No agents were deleted",
	}
	s, err := x.scope(ctx, c, "agent:delete", agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	if len(s.ids) == 0 {
		s.finish(r)
		return r, nil
	}
	if err := x.enrolmentThere(ctx); err != nil {
		return nil, err
	}
	ids, err := x.enrolled(s.ids, r)
	if err != nil {
		return nil, err
	}
	if ids, err = x.matching(ctx, r, ids, a.Filters, a.Q); err != nil {
		return nil, err
	}
	gone, err := x.deleteEach(ctx, r, ids, a.Purge)
	if err != nil {
		return nil, err
	}
	if err := affect(r, gone); err != nil {
		return nil, err
	}
	s.finish(r, fault.UnknownAgent, fault.ManagerAgent, fault.AgentFiltered)
	return r, nil
}

// enrolmentThere is error 1726 unless the enrolment daemon takes connections.
func (x *Changes) enrolmentThere(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Talk)
	defer cancel()
	client, err := unixsock.Dial(ctx, filepath.Join(x.cfg.Dir, enrolSocket), unixsock.LengthPrefix(), unixsock.Limits{})
	if err != nil {
		return fault.Wrap(fault.RegistrarAbsent, nil, err)
	}
	return client.Close()
}

// deletesAtOnce is how many agents the enrolment daemon is asked to remove at a
// time: it writes client.keys once for all that come together.
const deletesAtOnce = 64

// deleteEach has agents removed, some at a time. The first is asked for alone: a
// daemon that does not answer once is not asked again.
func (x *Changes) deleteEach(ctx context.Context, r *result.Affected, ids []agent.ID, purge bool) (gone []agent.ID, err error) {
	var silent atomic.Pointer[error]
	failures := make([]error, len(ids))
	remove := func(i int) {
		if before := silent.Load(); before != nil {
			failures[i] = *before
			return
		}
		failure, said := x.deleteOne(ctx, ids[i], purge)
		if failures[i] = failure; failure != nil && !said {
			silent.CompareAndSwap(nil, &failure)
		}
	}
	var group errgroup.Group
	group.SetLimit(deletesAtOnce)
	for i := range ids {
		if i == 0 {
			remove(i)
			continue
		}
		group.Go(func() error {
			remove(i)
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	if ctx.Err() != nil && slices.ContainsFunc(failures, func(err error) bool { return err != nil }) {
		return nil, context.Cause(ctx)
	}
	for i, id := range ids {
		if failures[i] == nil {
			gone = append(gone, id)
		} else {
			r.Fail(fault.From(failures[i]), fault.TextID(id.String()))
		}
	}
	return gone, nil
}

// deleteOne has one agent removed; said is that a failure is the daemon's answer.
func (x *Changes) deleteOne(ctx context.Context, id agent.ID, purge bool) (failure error, said bool) {
	request := enrolment.Message{Function: enrolment.FunctionRemove, Arguments: enrolment.Arguments{ID: id.String(), Purge: purge}}
	_, failure = x.enrolment(ctx, request, func(r *enrolment.Refusal) error {
		said = true
		if r.Code == enrolment.CodeUnknownID {
			return fault.New(fault.UnknownAgent, nil)
		}
		return fault.New(fault.RemoveFailed, r.Text)
	})
	return failure, said
}

// matching gives those of the agents that meet filters and a query; the others
// fail with 1731.
func (x *Changes) matching(ctx context.Context, r *result.Affected, ids []agent.ID, f filters, q string) ([]agent.ID, error) {
	if len(ids) == 0 || len(f) == 0 && q == "" {
		return ids, nil
	}
	a := x.cfg.Reader
	if a.cfg.Database == nil {
		return nil, errNoDatabase
	}
	table := a.agentTable()
	request := query.Request{Q: q}
	w, err := a.where(table, &permit{ids: ids}, f, &request, nil)
	if err != nil {
		return nil, err
	}
	fields, err := table.Selected([]string{"id"}, nil)
	if err != nil {
		return nil, err
	}
	statement, err := w.Rows(&request, fields)
	if err != nil {
		return nil, err
	}
	meet := make(map[agent.ID]bool, len(ids))
	err = a.cfg.Database.Rows(ctx, statement, func(row Row) error {
		meet[agent.ID(row.Int64(0))] = true
		return nil
	})
	if err != nil {
		return nil, refused(err)
	}
	kept := ids[:0:0]
	for _, id := range ids {
		if meet[id] {
			kept = append(kept, id)
		} else {
			fail(r, fault.AgentFiltered, id.String())
		}
	}
	return kept, nil
}
