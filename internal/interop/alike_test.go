package interop

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tables is what a database holds of agents.
type tables struct {
	agents map[int]row
	labels map[int][]string
	groups map[int][]string // by priority
	names  []string         // of groups
	hash   string           // over all groups
}

// readTables reads a database by statements, which both makers' take.
func (n *node) readTables() (*tables, error) {
	t := &tables{agents: map[int]row{}, labels: map[int][]string{}, groups: map[int][]string{}}
	rows, err := n.rows("SELECT * FROM agent WHERE id > 0 ORDER BY id")
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		t.agents[number(r["id"])] = r
	}
	if rows, err = n.rows("SELECT id, key, value FROM labels ORDER BY id, key"); err != nil {
		return nil, err
	}
	for _, r := range rows {
		id := number(r["id"])
		t.labels[id] = append(t.labels[id], fmt.Sprintf("%v=%v", r["key"], r["value"]))
	}
	if rows, err = n.rows("SELECT id_agent, name FROM belongs JOIN `group` ON id = id_group ORDER BY id_agent, priority"); err != nil {
		return nil, err
	}
	for _, r := range rows {
		id := number(r["id_agent"])
		t.groups[id] = append(t.groups[id], fmt.Sprint(r["name"]))
	}
	if rows, err = n.rows("SELECT name FROM `group` ORDER BY name"); err != nil {
		return nil, err
	}
	for _, r := range rows {
		t.names = append(t.names, fmt.Sprint(r["name"]))
	}
	c, err := n.dialDatabase()
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	t.hash, err = c.tell(`global sync-agent-groups-get {"get_global_hash": true}`)
	return t, err
}

func number(v any) int {
	f, _ := v.(float64)
	return int(f)
}

// waitAlike waits until all databases say the same of the agents.
func (k *crowd) waitAlike() {
	k.c.t.Helper()
	wait(k.c.t, patience, func() string {
		began := time.Now()
		why := k.differ()
		if why != "" {
			<-time.After(2 * time.Since(began)) // looking takes time from the nodes
			for _, n := range k.c.nodes() {
				why += n.tail()
			}
		}
		return why
	})
}

// differ says where the databases differ from each other, or from what was done.
func (k *crowd) differ() string {
	m, err := k.c.master.readTables()
	if err != nil {
		return err.Error()
	}
	if diff := cmp.Diff(k.groups, m.groups); diff != "" {
		return "groups were lost on the master: " + short(diff)
	}
	for _, w := range k.c.workers {
		got, err := w.readTables()
		if err != nil {
			return err.Error()
		}
		if why := k.differAt(w, m, got); why != "" {
			return fmt.Sprintf("%s and the master differ: %s", w, why)
		}
	}
	return ""
}

// differAt compares the master's tables with those of one worker.
func (k *crowd) differAt(w *node, m, got *tables) string {
	if m.hash != got.hash {
		return fmt.Sprintf("checksums %s and %s", m.hash, got.hash)
	}
	if diff := cmp.Diff(m.groups, got.groups) + cmp.Diff(m.names, got.names); diff != "" {
		return short(diff)
	}
	for id, n := range k.at {
		want, have := m.agents[id], got.agents[id]
		if n != w { // another worker's states are none of this one's business
			want, have = identity(want), identity(have)
		} else if diff := cmp.Diff(m.labels[id], got.labels[id]); diff != "" {
			return fmt.Sprintf("labels of agent %d: %s", id, diff)
		} else if want["node_name"] != w.name {
			return fmt.Sprintf("agent %d is at %v", id, want["node_name"])
		}
		if diff := cmp.Diff(want, have); diff != "" {
			return fmt.Sprintf("agent %d: %s", id, diff)
		}
		if want["group_sync_status"] != "synced" || want["sync_status"] != "synced" && n == w {
			return fmt.Sprintf("agent %d is still to be sent", id)
		}
	}
	return ""
}

// identity is what all nodes know of all agents.
func identity(r row) row {
	known := row{}
	for _, column := range []string{"id", "name", "register_ip", "internal_key", "date_add", "group", "group_hash", "group_sync_status"} {
		if value, ok := r[column]; ok {
			known[column] = value
		}
	}
	return known
}

// short is the first lines of a difference.
func short(diff string) string {
	lines := strings.SplitN(diff, "\n", 25)
	return strings.Join(lines[:min(24, len(lines))], "\n")
}

// verify ends the test: the databases are alike, and all that ends every test.
func (k *crowd) verify() {
	k.c.t.Helper()
	k.waitAlike()
	k.c.waitInStep()
	if why := k.differ(); why != "" {
		k.c.t.Error("alike no longer: ", why)
	}
	k.c.verify()
}
