package wdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/fault"
)

// ErrBadName is returned for the name of a group that no command may carry.
var ErrBadName = errors.New("not the name of a group")

// External is an agent database that another program serves: what a node needs
// of its own, by the commands of the socket. Methods that agentdb.Store has do
// the same here, as far as the commands allow.
type External struct {
	client *Client
	log    *slog.Logger
	info   kept
	groups kept
}

// NewExternal makes an External of a client; log may be nil.
func NewExternal(client *Client, log *slog.Logger) *External {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &External{client: client, log: log, info: newKept(), groups: newKept()}
}

// page asks for rows.
func (e *External) page(ctx context.Context, request string) (agentdb.Page, error) {
	status, payload, err := e.client.Call(ctx, request)
	if err != nil {
		return agentdb.Page{}, err
	}
	return agentdb.Page{JSON: payload, More: status == StatusMore}, nil
}

// rowsOf asks for rows and decodes them.
func rowsOf[T any](ctx context.Context, e *External, request string) (rows []T, err error) {
	p, err := e.page(ctx, request)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(p.JSON, &rows); err != nil {
		return nil, fault.Wrap(fault.DatabaseRead, "the answer is no list of rows", err)
	}
	return rows, nil
}

// SQL gives the rows of a statement as a JSON array. The error is
// fault.DatabaseTooLarge for more than an answer holds.
func (e *External) SQL(ctx context.Context, statement string) ([]byte, error) {
	p, err := e.page(ctx, "global sql "+statement)
	return p.JSON, err
}

// Tasks is the database of tasks behind the same socket.
func (e *External) Tasks() Tasks { return Tasks{e} }

// Tasks is the tasks of the module that upgrades agents.
type Tasks struct{ e *External }

// SQL is External.SQL.
func (t Tasks) SQL(ctx context.Context, statement string) ([]byte, error) {
	p, err := t.e.page(ctx, "task sql "+statement)
	return p.JSON, err
}

// arguments writes a command with a JSON argument of names and values by turns,
// without values that are nil.
func arguments(verb string, fields ...any) string {
	out := append(append([]byte("global "), verb...), " {"...)
	first := true
	for i := 1; i < len(fields); i += 2 {
		name, value := fields[i-1].(string), fields[i]
		if p, is := value.(*string); is {
			if p == nil {
				continue
			}
			value = *p
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(appendString(out, name), ':')
		switch v := value.(type) {
		case string:
			out = appendString(out, v)
		case agent.ID:
			out = strconv.AppendInt(out, int64(v), 10)
		case int64:
			out = strconv.AppendInt(out, v, 10)
		}
	}
	return string(append(out, '}'))
}

// InsertAgent adds an agent.
func (e *External) InsertAgent(ctx context.Context, a agentdb.NewAgent) error {
	return e.client.run(ctx, arguments("insert-agent", "id", a.ID, "name", a.Name, "date_add", a.DateAdd, "ip", a.IP,
		"register_ip", a.RegisterIP, "internal_key", a.InternalKey, "group", a.Group))
}

// RenameAgent gives an agent another name.
func (e *External) RenameAgent(ctx context.Context, id agent.ID, name string) error {
	return e.client.run(ctx, arguments("update-agent-name", "id", id, "name", name))
}

// UpdateData writes all of what an agent tells about itself.
func (e *External) UpdateData(ctx context.Context, d agentdb.Data) error {
	return e.client.run(ctx, arguments("update-agent-data", "id", d.ID, "os_name", d.OSName, "os_version", d.OSVersion,
		"os_major", d.OSMajor, "os_minor", d.OSMinor, "os_codename", d.OSCodename, "os_platform", d.OSPlatform,
		"os_build", d.OSBuild, "os_uname", d.OSUname, "os_arch", d.OSArch, "version", d.Version, "config_sum", d.ConfigSum,
		"merged_sum", d.MergedSum, "manager_host", d.ManagerHost, "node_name", d.NodeName, "agent_ip", d.AgentIP,
		"connection_status", d.ConnectionStatus, "sync_status", d.SyncStatus,
		"group_config_status", d.GroupConfigStatus, "labels", d.Labels))
}

// UpdateKeepalive takes down that an agent is alive.
func (e *External) UpdateKeepalive(ctx context.Context, id agent.ID, status, sync string) error {
	return e.client.run(ctx, arguments("update-keepalive", "id", id, "connection_status", status, "sync_status", sync))
}

// DeleteAgent removes an agent.
func (e *External) DeleteAgent(ctx context.Context, id agent.ID) error {
	return e.client.run(ctx, fmt.Sprintf("global delete-agent %d", id))
}

// RemoveFiles removes the agents' own databases; one that has none is no error.
func (e *External) RemoveFiles(ctx context.Context, ids []agent.ID) error {
	const most = 4096 // a request of some 45 kB
	for len(ids) > 0 {
		n := min(len(ids), most)
		var b strings.Builder
		b.WriteString("wazuhdb remove")
		for _, id := range ids[:n] {
			b.WriteByte(' ')
			b.WriteString(id.String())
		}
		if err := e.client.run(ctx, b.String()); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// AllAgents is a page of the ids above after.
func (e *External) AllAgents(ctx context.Context, after agent.ID) (agentdb.Page, error) {
	return e.page(ctx, fmt.Sprintf("global get-all-agents last_id %d", after))
}

// AgentName is the agent's name as a row.
func (e *External) AgentName(ctx context.Context, id agent.ID) (agentdb.Page, error) {
	return e.page(ctx, fmt.Sprintf("global select-agent-name %d", id))
}

// AgentInfo is the agent's whole row.
func (e *External) AgentInfo(ctx context.Context, id agent.ID) (agentdb.Page, error) {
	return e.page(ctx, fmt.Sprintf("global get-agent-info %d", id))
}

// DisconnectAgents sets agents above after that were silent since before to
// disconnected, and gives a page of them; more says that others are left.
func (e *External) DisconnectAgents(ctx context.Context, after agent.ID, before int64, sync string) (list []byte, more bool, err error) {
	p, err := e.page(ctx, fmt.Sprintf("global disconnect-agents %d %d %s", after, before, sync))
	return p.JSON, p.More, err
}

// ResetConnections sets all connected agents to disconnected.
func (e *External) ResetConnections(ctx context.Context, sync string) error {
	return e.client.run(ctx, "global reset-agents-connection "+sync)
}

// Groups is the table of groups.
func (e *External) Groups(ctx context.Context) (agentdb.Page, error) {
	return e.page(ctx, "global select-groups")
}

// FindGroup is the group's number as a row.
func (e *External) FindGroup(ctx context.Context, name string) (agentdb.Page, error) {
	if err := checkName(name); err != nil {
		return agentdb.Page{}, err
	}
	return e.page(ctx, "global find-group "+name)
}

// InsertGroup adds a group.
func (e *External) InsertGroup(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return e.client.run(ctx, "global insert-agent-group "+name)
}

// DeleteGroup removes a group from the table and from all agents.
func (e *External) DeleteGroup(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return e.client.run(ctx, "global delete-group "+name)
}

func checkName(name string) error {
	if err := agent.CheckGroupName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrBadName, err)
	}
	return nil
}

// quote writes a text for use in a statement.
func quote(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
