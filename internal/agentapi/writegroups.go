package agentapi

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/groups"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

type createArgs struct {
	Group string `json:"group_id" required:"true"`
}

// createGroup makes the directory of a group, and its row so that agents can be
// assigned at once. A crash in between does no harm: the row follows the
// directory (docs/agentdb.md §15).
func (x *Changes) createGroup(ctx context.Context, c *dapi.Call, a createArgs) (result.Result, error) {
	if err := onMaster(c); err != nil {
		return nil, err
	}
	if !c.Permissions.Allows("group:create", noResource+":*") {
		return nil, rbac.Denied(noResource)
	}
	done, err := x.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if strings.EqualFold(a.Group, agent.DefaultGroup) {
		return nil, fault.New(fault.GroupExists, a.Group)
	}
	switch err := groups.Create(x.cfg.Home, a.Group, x.cfg.Owner); {
	case errors.Is(err, groups.ErrName):
		return nil, fault.Wrap(fault.BadGroupID, nil, err)
	case errors.Is(err, groups.ErrReserved):
		return nil, fault.Wrap(fault.GroupReserved, a.Group, err)
	case errors.Is(err, groups.ErrExists):
		return nil, fault.Wrap(fault.GroupExists, a.Group, err)
	case err != nil:
		return nil, fault.Wrap(fault.FileUnreadable, sharedDir+"/"+a.Group, err)
	}
	if db, err := x.memberships(); err == nil {
		x.ensureRow(ctx, db, a.Group)
	}
	return message("Group '" + a.Group + "' created.")
}

func message(text string) (result.Result, error) {
	return result.NewPlain(map[string]string{"message": text})
}

// ensureRow inserts the row of a group that has none yet. Whatever hinders it,
// the row comes when directories and rows are compared the next time.
func (x *Changes) ensureRow(ctx context.Context, db Memberships, name string) {
	names, err := db.GroupNames(ctx)
	if err == nil && !slices.Contains(names, name) {
		err = db.InsertGroup(ctx, name)
	}
	var refused *agentdb.QueryError // somebody else was faster
	if err != nil && !errors.As(err, &refused) {
		x.cfg.Log.Warn("a new group is not in the agent database yet", slog.String("group", name), slog.Any("error", err))
	}
}

type deleteGroupsArgs struct {
	Groups list `json:"group_list" required:"true"`
}

// deleteGroups removes directories, and then the rows, which takes the agents
// out of the groups. When the process dies in between, the row follows.
func (x *Changes) deleteGroups(ctx context.Context, c *dapi.Call, a deleteGroupsArgs) (result.Result, error) {
	if err := onMaster(c); err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg: "All selected groups were deleted", SomeMsg: "Some groups were not deleted", NoneMsg: "No group was deleted",
	}
	s, err := x.scope(ctx, c, "group:delete", groupID, a.Groups)
	if err != nil {
		return nil, err
	}
	done, err := x.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var gone []string
	for _, name := range s.ids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		err := groups.Remove(x.cfg.Home, name)
		if errors.Is(err, groups.ErrLeft) { // the group is gone all the same
			x.cfg.Log.Warn("a deleted group has left files behind", slog.String("group", name), slog.Any("error", err))
			err = nil
		}
		switch {
		case errors.Is(err, groups.ErrDefault):
			fail(r, fault.GroupDefault, name)
		case errors.Is(err, groups.ErrNotFound), errors.Is(err, groups.ErrName):
			fail(r, fault.GroupAbsent, name)
		case err != nil:
			r.Fail(fault.Wrap(fault.FileUnreadable, sharedDir+"/"+name, err), fault.TextID(name))
		default:
			gone = append(gone, name)
			x.forget(ctx, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		if err := r.Add(name); err != nil {
			return nil, err
		}
	}
	s.finish(r, fault.GroupAbsent, fault.GroupDefault)
	return r, nil
}

// forget deletes the row of a group whose directory is gone.
func (x *Changes) forget(ctx context.Context, name string) {
	db, err := x.memberships()
	if err != nil {
		return // whoever has the database looks after its rows
	}
	if err := db.DeleteGroup(ctx, name); err != nil {
		x.cfg.Log.Warn("a deleted group is still in the agent database", slog.String("group", name), slog.Any("error", err))
	}
}
