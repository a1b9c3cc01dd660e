package agentdb

import (
	"context"
	"hash/maphash"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// Data is what an agent tells of itself (docs/agentdb.md §7.1). A nil text is
// NULL, but: AgentIP is then left as it is, SyncStatus is "synced", and there are
// no labels.
type Data struct {
	ID agent.ID

	OSName, OSVersion, OSMajor, OSMinor, OSCodename, OSPlatform, OSBuild, OSUname, OSArch *string

	Version, ConfigSum, MergedSum, ManagerHost, NodeName, AgentIP *string

	ConnectionStatus, SyncStatus, GroupConfigStatus *string

	Labels *string // a line each, KEY:VALUE
}

// slow are the texts that rarely change, in the order of updateData's parameters.
func (d *Data) slow() [15]*string {
	return [...]*string{
		d.OSName, d.OSVersion, d.OSMajor, d.OSMinor, d.OSCodename, d.OSPlatform, d.OSBuild, d.OSUname, d.OSArch,
		d.Version, d.ConfigSum, d.MergedSum, d.ManagerHost, d.NodeName, d.GroupConfigStatus,
	}
}

const updateData = "UPDATE agent SET os_name = ?1, os_version = ?2, os_major = ?3, os_minor = ?4, os_codename = ?5," +
	" os_platform = ?6, os_build = ?7, os_uname = ?8, os_arch = ?9, version = ?10, config_sum = ?11," +
	" merged_sum = ?12, manager_host = ?13, node_name = ?14, group_config_status = ?15," +
	" last_keepalive = ?16, connection_status = ?17, sync_status = ?18"

// UpdateData writes everything that an agent tells of itself, and that it has
// shown itself now. The labels replace all that the agent had; if they break off
// at one that is not allowed, the rest stays written (docs/agentdb.md §7.2).
//
// Listeners send the same again with each keep-alive: what is not new is not
// written again.
func (s *Store) UpdateData(ctx context.Context, d Data) error {
	print := s.printOf(&d)
	return s.writeLazily(ctx, func(t *tx) error {
		sync := synced
		if d.SyncStatus != nil {
			sync = *d.SyncStatus
		}
		before, known := t.get(d.ID)
		if known && before.print == print {
			return t.updateSeen(&d, sync, before.status)
		}
		if err := t.settle(d.ID); err != nil {
			return err
		}
		if err := t.updateAll(&d, sync, before); err != nil {
			return err
		}
		if r := t.edit(d.ID); r != nil {
			r.keepalive, r.node, r.version = t.seen(d.ID), orEmpty(d.NodeName), orEmpty(d.Version)
			r.rewritten()
			r.setStatus(orEmpty(d.ConnectionStatus), sync)
			if d.AgentIP != nil {
				r.hasIP, r.ip = true, *d.AgentIP
			}
		}
		if err := t.replaceLabels(d.ID, orEmpty(d.Labels)); err != nil {
			return err
		}
		if r := t.edit(d.ID); r != nil {
			r.print = print
		}
		return nil
	})
}

// seen is the last keep-alive of an agent that shows itself now.
func (t *tx) seen(id agent.ID) int64 {
	if id == agent.Manager {
		return neverSilent
	}
	return t.time
}

// updateSeen is UpdateData when only the time and the status may be new.
func (t *tx) updateSeen(d *Data, sync string, before agent.Status) error {
	if orEmpty(d.ConnectionStatus) == string(before) && (sync == synced || sync == syncReq) {
		return t.touch(d.ID, t.seen(d.ID), sync == syncReq)
	}
	if err := t.settle(d.ID); err != nil {
		return err
	}
	err := t.exec("UPDATE agent SET last_keepalive = ?1, connection_status = ?2, sync_status = ?3 WHERE id = ?4",
		t.seen(d.ID), d.ConnectionStatus, sync, int64(d.ID))
	if err != nil {
		return err
	}
	if r := t.edit(d.ID); r != nil {
		r.keepalive = t.seen(d.ID)
		r.setStatus(orEmpty(d.ConnectionStatus), sync)
	}
	return nil
}

func (t *tx) updateAll(d *Data, sync string, before record) error {
	query := updateData + " WHERE id = ?19"
	withIP := d.AgentIP != nil && (!before.hasIP || before.ip != *d.AgentIP)
	if withIP {
		query = updateData + ", ip = ?20 WHERE id = ?19"
	}
	st, err := t.c.Prepare(query)
	if err != nil {
		return asQuery(err)
	}
	for i, text := range d.slow() {
		bindText(st, i+1, text)
	}
	st.BindInt64(16, t.seen(d.ID))
	bindText(st, 17, d.ConnectionStatus)
	st.BindText(18, sync)
	st.BindInt64(19, int64(d.ID))
	if withIP {
		st.BindText(20, *d.AgentIP)
	}
	return step(st)
}

func bindText(st *sqlitedb.Stmt, param int, text *string) {
	if text == nil {
		st.BindNull(param)
		return
	}
	st.BindText(param, *text)
}

// replaceLabels writes the labels of a text in place of all that are there.
func (t *tx) replaceLabels(id agent.ID, text string) error {
	if err := t.exec("DELETE FROM labels WHERE id = ?1", int64(id)); err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		if err := t.addLabel(int64(id), key, value); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) addLabel(id int64, key, value string) error {
	return t.exec("INSERT INTO labels (id, key, value) VALUES (?1, ?2, ?3)", id, key, value)
}

// printOf is the fingerprint of what d says beside time and status; never 0.
func (s *Store) printOf(d *Data) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteByte('D')
	for _, text := range d.slow() {
		printText(&h, text)
	}
	printText(&h, d.AgentIP)
	h.WriteString(orEmpty(d.Labels))
	return h.Sum64() | 1
}

func printText(h *maphash.Hash, text *string) {
	if text != nil {
		h.WriteByte(1)
		h.WriteString(*text)
	}
	h.WriteByte(0)
}
