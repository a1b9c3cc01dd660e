package interop

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
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
	c, err := n.dialDatabase()
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	t := &tables{agents: map[int]row{}, labels: map[int][]string{}, groups: map[int][]string{}}
	for statement, take := range map[string]func(id int, r row){
		"SELECT * FROM agent WHERE id AGENTS": func(id int, r row) { t.agents[id] = r },
		"SELECT id, key, value FROM labels WHERE id AGENTS ORDER BY id, key": func(id int, r row) {
			t.labels[id] = append(t.labels[id], fmt.Sprintf("%v=%v", r["key"], r["value"]))
		},
		"SELECT id_agent AS id, name FROM belongs JOIN `group` g ON g.id = id_group WHERE id_agent AGENTS ORDER BY id_agent, priority": func(id int, r row) {
			t.groups[id] = append(t.groups[id], fmt.Sprint(r["name"]))
		},
	} {
		if err := c.rowsOfAgents(statement, take); err != nil {
			return nil, err
		}
	}
	names, err := c.rows("SELECT name FROM `group` ORDER BY name")
	if err != nil {
		return nil, err
	}
	for _, r := range names {
		t.names = append(t.names, fmt.Sprint(r["name"]))
	}
	t.hash, err = c.tell(askHash)
	return t, err
}

// askHash asks for the checksum over all groups.
const askHash = `global sync-agent-groups-get {"get_global_hash": true}`

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
	if why := k.differAtFirstSight(); why != "" {
		return why
	}
	m, err := k.c.master.readTables()
	if err != nil {
		return err.Error()
	}
	if !reflect.DeepEqual(k.groups, m.groups) {
		return "groups were lost on the master: " + short(gocmp.Diff(k.groups, m.groups))
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

// differAtFirstSight looks at what can be seen without reading all.
func (k *crowd) differAtFirstSight() string {
	first := ""
	for _, n := range k.c.nodes() {
		marked, hash, err := n.firstSight()
		if err != nil {
			return err.Error()
		}
		if first = cmp.Or(first, hash); marked > 0 || hash != first {
			return fmt.Sprintf("%s has yet to send %d agents, its checksum is %s, the master's %s", n, marked, hash, first)
		}
	}
	return ""
}

// firstSight is how many agents are marked as to be sent, and the checksum.
func (n *node) firstSight() (marked int, hash string, err error) {
	c, err := n.dialDatabase()
	if err != nil {
		return 0, "", err
	}
	defer c.conn.Close()
	rows, err := c.rows("SELECT count(*) AS n FROM agent WHERE id > 0 AND 'syncreq' IN (sync_status, group_sync_status)")
	if err != nil {
		return 0, "", err
	}
	hash, err = c.tell(askHash)
	return number(rows[0]["n"]), hash, err
}

// differAt compares the master's tables with those of one worker.
func (k *crowd) differAt(w *node, m, got *tables) string {
	if m.hash != got.hash {
		return fmt.Sprintf("checksums %s and %s", m.hash, got.hash)
	}
	if !reflect.DeepEqual(m.groups, got.groups) || !slices.Equal(m.names, got.names) {
		return short(gocmp.Diff(m.groups, got.groups) + gocmp.Diff(m.names, got.names))
	}
	for id, n := range k.at {
		want, have := m.agents[id], got.agents[id]
		switch {
		case n != w: // another worker's states are none of this one's business
			want, have = identity(want), identity(have)
		case !slices.Equal(m.labels[id], got.labels[id]):
			return fmt.Sprintf("labels of agent %d: %s", id, gocmp.Diff(m.labels[id], got.labels[id]))
		case want["node_name"] != w.name:
			return fmt.Sprintf("agent %d is at %v", id, want["node_name"])
		}
		if !maps.Equal(want, have) { // a plain comparison: there are many
			return fmt.Sprintf("agent %d: %s", id, gocmp.Diff(want, have))
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
