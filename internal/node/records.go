package node

import (
	"context"
	"fmt"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

// records shows the agent database as the tasks around it want to see it.
type records struct{ *agentdb.Store }

// reported is the database as the exchange of agents' state wants it: one that
// says when something has changed.
type reported struct{ *agentdb.Store }

// Changed implements agentinfo.Changer.
func (r reported) Changed() <-chan struct{} { return r.InfoChanged() }

// grouped is the same for the exchange of groups.
type grouped struct{ *agentdb.Store }

// Changed implements agentgroups.Changer.
func (g grouped) Changed() <-chan struct{} { return g.GroupsChanged() }

// AddAgent implements reconcile.Agents.
func (r records) AddAgent(ctx context.Context, key agent.Key, added int64) error {
	secret := key.Secret.Reveal()
	return r.FollowAgent(ctx, agentdb.NewAgent{
		ID: key.ID, Name: key.Name, DateAdd: added, RegisterIP: &key.Address, InternalKey: &secret,
	})
}

// InsertGroup implements reconcile.Groups. Who made the directory may have
// inserted the group, too.
func (r records) InsertGroup(ctx context.Context, name string) error {
	err := r.Store.InsertGroup(ctx, name)
	if err == nil {
		return nil
	}
	if names, listErr := r.GroupNames(ctx); listErr == nil && slices.Contains(names, name) {
		return nil
	}
	return err
}

// UpdateSelf implements reconcile.Self.
func (r records) UpdateSelf(ctx context.Context, columns map[string]string) error {
	d := agentdb.Data{ID: agent.Manager}
	fields := map[string]**string{
		"os_name": &d.OSName, "os_version": &d.OSVersion, "os_major": &d.OSMajor, "os_minor": &d.OSMinor,
		"os_codename": &d.OSCodename, "os_platform": &d.OSPlatform, "os_build": &d.OSBuild, "os_uname": &d.OSUname,
		"os_arch": &d.OSArch, "version": &d.Version, "manager_host": &d.ManagerHost, "node_name": &d.NodeName,
		"connection_status": &d.ConnectionStatus, "sync_status": &d.SyncStatus, "group_config_status": &d.GroupConfigStatus,
	}
	for name, text := range columns {
		field, known := fields[name]
		if !known {
			return fmt.Errorf("update agent 0: there is no column %q", name)
		}
		*field = &text
	}
	return r.UpdateData(ctx, d)
}

// DistinctGroups implements groups.Source.
func (r records) DistinctGroups(ctx context.Context, after string) (page []byte, more bool, err error) {
	p, err := r.Store.DistinctGroups(ctx, after)
	return p.JSON, p.More, err
}

// DisconnectAgents implements census.Source.
func (r records) DisconnectAgents(ctx context.Context, after agent.ID, before int64, sync string) (page []byte, more bool, err error) {
	p, err := r.Store.DisconnectAgents(ctx, after, before, sync)
	return p.JSON, p.More, err
}

// CountAgents implements census.Source.
func (r records) CountAgents(ctx context.Context) (map[string]map[agent.Status]int, error) {
	c, err := r.Counts(ctx)
	return c.ByNode, err
}
