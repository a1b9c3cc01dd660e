package managerapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

const (
	agentRead  = "agent:read"
	agentsOnce = 300 // agents of one question to the database, whose answers have 64 KiB
)

// state is what there is to know of an agent here.
type state struct {
	id      agent.ID
	status  string
	version string // "Wazuh v4.7.5", empty where it never connected
}

// atLeast tells whether the agent has the version, or a later one.
func (s state) atLeast(want ...int) bool {
	text := s.version[strings.LastIndex(s.version, " ")+1:]
	for i, part := range strings.SplitN(strings.TrimPrefix(text, "v"), ".", len(want)) {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			part = part[:end]
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < want[i] {
			return false
		}
		if n > want[i] {
			return true
		}
	}
	return true
}

// scope is which agents a request is about.
type scope struct {
	found  []state
	absent []string
	denied []string
}

// missed takes down what was named and is not there.
func (s *scope) missed(r *result.Affected) {
	if len(s.absent) > 0 {
		r.Fail(fault.New(fault.UnknownAgent, nil), fault.TextIDs(s.absent...)...)
	}
}

// refused takes down what was named and is not for the user. It comes when all
// else is taken down (docs/dapi.md §4).
func (s *scope) refused(r *result.Affected) {
	if len(s.denied) > 0 {
		r.Fail(rbac.Denied(agentID, s.denied...), fault.TextIDs(s.denied...)...)
	}
}

// agentsNamed looks up the agents that the user named and may read, or all that
// he may read for nil. The error is that of a user who may read none that he
// named, or of the database.
func (a *API) agentsNamed(ctx context.Context, c *dapi.Call, named []string) (scope, error) {
	verdict, err := c.Permissions.Filter(rbac.Ask{
		Action: agentRead, Type: agentID, Named: named,
		All:     func() ([]string, error) { return a.ids(ctx, "SELECT id AS id FROM agent WHERE id > %d") },
		Members: func(group string) ([]string, error) { return a.members(ctx, group) },
	})
	if err != nil {
		return scope{}, err
	}
	if verdict.Refused() {
		return scope{}, rbac.Denied(agentID, verdict.Denied...)
	}
	s := scope{denied: verdict.Denied}
	return s, a.lookUp(ctx, &s, verdict.Allowed)
}

// lookUp finds agents by their ids, in the order of these.
func (a *API) lookUp(ctx context.Context, s *scope, named []string) error {
	for part := range slices.Chunk(named, agentsOnce) {
		known := map[string]state{}
		if list := idList(part); list != "" {
			statement := "SELECT id, connection_status, version FROM agent WHERE id IN (" + list + ")"
			rows, err := sql[agentRow](ctx, a, statement)
			if err != nil {
				return err
			}
			for _, row := range rows {
				known[row.ID.String()] = state{row.ID, row.Status, row.Version}
			}
		}
		for _, text := range part {
			if found, ok := known[text]; ok {
				s.found = append(s.found, found)
			} else {
				s.absent = append(s.absent, text)
			}
		}
	}
	return nil
}

type agentRow struct {
	ID      agent.ID `json:"id"`
	Status  string   `json:"connection_status"`
	Version string   `json:"version"`
}

// idList writes the ids of a statement; what is no id finds no agent.
func idList(texts []string) string {
	numbers := make([]string, 0, len(texts))
	for _, text := range texts {
		if id, err := agent.ParseID(text); err == nil && id.String() == text {
			numbers = append(numbers, strconv.FormatInt(int64(id), 10))
		}
	}
	return strings.Join(numbers, ",")
}

// members lists the agents of a group, of any group for "*".
func (a *API) members(ctx context.Context, group string) ([]string, error) {
	if group == "*" {
		return a.ids(ctx, "SELECT DISTINCT id_agent AS id FROM belongs WHERE id_agent > %d")
	}
	if !groupName(group) {
		return nil, nil
	}
	return a.ids(ctx, "SELECT id_agent AS id FROM belongs WHERE id_group IN (SELECT id FROM `group` WHERE name = '"+group+"') AND id_agent > %d")
}

// groupName tells whether a text can be a group's name, and so stand in a
// statement.
func groupName(text string) bool {
	return text != "" && len(text) <= 255 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// ids lists the ids that a statement finds, a part at a time.
func (a *API) ids(ctx context.Context, statement string) (list []string, err error) {
	const once = 2000
	for after := int64(-1); ; {
		rows, err := sql[agentRow](ctx, a, fmt.Sprintf(statement, after)+" ORDER BY id LIMIT "+strconv.Itoa(once))
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			list = append(list, row.ID.String())
			after = int64(row.ID)
		}
		if len(rows) < once {
			return list, nil
		}
	}
}

// sql asks the agent database. Errors: fault.DatabaseUnreachable,
// DatabaseRefused, DatabaseNotJSON.
func sql[Row any](ctx context.Context, a *API, statement string) (rows []Row, err error) {
	answer, err := a.ask(ctx, databaseSock, []byte("global sql "+statement))
	switch {
	case errors.Is(err, errNoSocket), fault.Has(err, fault.SocketRefused), fault.Has(err, fault.SocketTalk):
		return nil, fault.Wrap(fault.DatabaseUnreachable, nil, err)
	case err != nil:
		return nil, err
	}
	word, rest, err := spoken(answer)
	if err != nil || word != "ok" {
		return nil, fault.New(fault.DatabaseRefused, nil)
	}
	if err := json.Unmarshal(rest, &rows); err != nil {
		return nil, fault.Wrap(fault.DatabaseNotJSON, nil, err)
	}
	return rows, nil
}
