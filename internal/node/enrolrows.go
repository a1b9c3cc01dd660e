package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/enrolment"
	"testudo/internal/inventory"
	"testudo/internal/registrar"
	"testudo/internal/wdb"
)

// What belongs to an agent beside its row and its key, in the home.
const (
	ridsDir = "queue/rids"
	diffDir = "queue/diff"
)

// agentTable is an agent database as enrolment uses it: the node's own, or
// another program's.
type agentTable interface {
	AgentInfo(ctx context.Context, id agent.ID) (agentdb.Page, error)
	InsertAgent(ctx context.Context, a agentdb.NewAgent) error
	DeleteAgent(ctx context.Context, id agent.ID) error
	SetGroups(ctx context.Context, change agentdb.GroupChange) error
	GroupNames(ctx context.Context) ([]string, error)
	InsertGroup(ctx context.Context, name string) error
}

// enrolled is the agent database for enrolment.
type enrolled struct {
	table agentTable
	home  *os.Root
	log   *slog.Logger
	// files removes the agent's own database; one that is not there is no error.
	files func(ctx context.Context, id agent.ID) error
}

// enrolRows shows the agent database to enrolment.
func (n *Node) enrolRows() registrar.Agents {
	e := enrolled{home: n.home, log: n.log}
	if external := n.agents.external; external != nil {
		e.table = external
		e.files = func(ctx context.Context, id agent.ID) error { return external.RemoveFiles(ctx, []agent.ID{id}) }
		return e
	}
	e.table = n.agents.store
	e.files = n.removeInventory
	return e
}

// removeInventory removes the agent's own database. Most have none.
func (n *Node) removeInventory(ctx context.Context, id agent.ID) error {
	if r := n.agents.inventory.Remove(ctx, []agent.ID{id})[id]; r == inventory.CannotClose {
		return fmt.Errorf("remove the database of agent %v: %s", id, r)
	}
	return nil
}

// row is what enrolment wants to know of an agent's row.
type row struct {
	Name           string       `json:"name"`
	Key            string       `json:"internal_key"`
	Status         agent.Status `json:"connection_status"`
	DisconnectedAt int64        `json:"disconnection_time"`
	AddedAt        int64        `json:"date_add"`
}

func (e enrolled) row(ctx context.Context, id agent.ID) (r row, there bool, err error) {
	page, err := e.table.AgentInfo(ctx, id)
	if err != nil {
		return r, false, err
	}
	var rows []row
	if err := json.Unmarshal(page.JSON, &rows); err != nil {
		return r, false, fmt.Errorf("the answer of the agent database is no list of rows: %w", err)
	}
	if len(rows) == 0 {
		return r, false, nil
	}
	return rows[0], true, nil
}

// State implements registrar.Agents.
func (e enrolled) State(ctx context.Context, id agent.ID) (enrolment.Existing, error) {
	r, there, err := e.row(ctx, id)
	if err != nil || !there {
		return enrolment.Existing{}, err
	}
	return enrolment.Existing{Known: true, Status: r.Status, DisconnectedAt: r.DisconnectedAt, AddedAt: r.AddedAt}, nil
}

// Insert implements registrar.Agents.
func (e enrolled) Insert(ctx context.Context, a registrar.NewAgent) error {
	secret := a.Key.Reveal()
	row := agentdb.NewAgent{ID: a.ID, Name: a.Name, DateAdd: a.Added, RegisterIP: &a.RegisterIP, InternalKey: &secret}
	if len(a.Groups) > 0 {
		text := strings.Join(a.Groups, ",")
		row.Group = &text
	}
	if err := e.table.InsertAgent(ctx, row); err != nil {
		if err = e.inserted(ctx, row, err); err != nil {
			return fmt.Errorf("insert agent %v: %w", a.ID, err)
		}
	}
	if len(a.Groups) == 0 {
		return nil
	}
	if err := e.setGroups(ctx, a); err != nil {
		return fmt.Errorf("put agent %v into its groups: %w", a.ID, err)
	}
	return nil
}

// inserted looks, after an error, whether the row is there: an earlier attempt
// may have come so far. One of another agent is there to stay.
func (e enrolled) inserted(ctx context.Context, want agentdb.NewAgent, cause error) error {
	if !answered(cause) {
		return cause
	}
	r, there, err := e.row(ctx, want.ID)
	switch {
	case err != nil || !there:
		return cause
	case r.Name == want.Name && r.Key == *want.InternalKey:
		return nil
	}
	return fmt.Errorf("%w: %w", registrar.ErrRefused, cause)
}

// answered tells whether an error is what the database has to say.
func answered(err error) bool {
	if _, refused := wdb.Refusal(err); refused {
		return true
	}
	return errors.As(err, new(*agentdb.QueryError))
}

// setGroups puts an agent into its groups. The row of a group may be missing
// whose directory is new; names that the database cannot have stay without.
func (e enrolled) setGroups(ctx context.Context, a registrar.NewAgent) error {
	change := agentdb.GroupChange{
		Mode: agentdb.GroupsOverride, Sync: a.GroupSync, Data: []agentdb.AgentGroups{{ID: a.ID, Groups: a.Groups}},
	}
	err := e.table.SetGroups(ctx, change)
	if !errors.Is(err, agentdb.ErrSetGroups) {
		return err
	}
	if addErr := e.addGroups(ctx, a.Groups); addErr != nil {
		return addErr
	}
	if err = e.table.SetGroups(ctx, change); errors.Is(err, agentdb.ErrSetGroups) {
		return fmt.Errorf("%w: %w", registrar.ErrRefused, err)
	}
	return err
}

func (e enrolled) addGroups(ctx context.Context, names []string) error {
	known, err := e.table.GroupNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(known, name) || agent.CheckGroupName(name) != nil {
			continue
		}
		if err := e.table.InsertGroup(ctx, name); err != nil && !answered(err) {
			return err
		}
	}
	return nil
}

// Delete implements registrar.Agents. Only the row counts: the rest, should it
// stay, does no harm.
func (e enrolled) Delete(ctx context.Context, id agent.ID, name string) error {
	if err := e.table.DeleteAgent(ctx, id); err != nil {
		return fmt.Errorf("delete agent %v: %w", id, err)
	}
	errs := []error{e.files(ctx, id), e.home.Remove(path.Join(ridsDir, id.String()))}
	if oneElement(name) {
		errs = append(errs, e.home.RemoveAll(path.Join(diffDir, name)))
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.log.Warn("Something of a removed agent is left.", slog.String("agent", id.String()), slog.Any("error", err))
		}
	}
	return nil
}

// oneElement tells whether a name can be that of an entry of a directory.
func oneElement(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
