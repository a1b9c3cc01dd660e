package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// crowd is the agents of a cluster: to which worker each reports, and which
// groups each was given on the master.
type crowd struct {
	c      *cluster
	at     map[int]*node
	groups map[int][]string
}

// groupNames are the groups of all clusters here.
func groupNames() []string { return []string{"default", "web", "db_1", "Paris.2"} }

// newCrowd gives a cluster that does not run yet agents, spread over its workers
// or, without any, at the master: the master's files say so.
func newCrowd(c *cluster, count int) *crowd {
	k := &crowd{c: c, at: map[int]*node{}, groups: map[int][]string{}}
	var keys strings.Builder
	for id := 1; id <= count; id++ {
		fmt.Fprintf(&keys, "%03d %s any %s\n", id, agentName(id), agentKey(id))
		k.at[id] = c.master
		if len(c.workers) > 0 {
			k.at[id] = c.workers[id%len(c.workers)]
		}
	}
	c.master.write(keysFile, keys.String())
	for _, group := range groupNames() {
		c.master.write(shared+group+"/agent.conf", "<agent_config>\n</agent_config>\n")
	}
	return k
}

func agentName(id int) string { return fmt.Sprintf("agent-%04d.example", id) }
func agentKey(id int) string  { return fmt.Sprintf("%064x", id) }

// ids are those of the agents at a worker, or of all.
func (k *crowd) ids(at *node) []int {
	var ids []int
	for id, n := range k.at {
		if at == nil || n == at {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// enrol waits until the rows of all agents and groups are in all databases. Where
// other daemons of an installation would insert them, it does.
func (k *crowd) enrol() {
	k.c.t.Helper()
	k.c.waitEqual()
	for _, n := range k.c.nodes() {
		if !n.followsFiles() {
			k.insert(n)
		}
		wait(k.c.t, patience, func() string { return k.hasRows(n) })
	}
}

func (k *crowd) insert(n *node) {
	k.c.t.Helper()
	var requests []string
	for _, group := range groupNames() {
		requests = append(requests, "global insert-agent-group "+group)
	}
	for _, id := range k.ids(nil) {
		requests = append(requests, "global insert-agent "+text(map[string]any{
			"id": id, "name": agentName(id), "register_ip": "any", "internal_key": agentKey(id), "date_add": 0,
		}))
	}
	n.tellAll(requests)
}

func (k *crowd) hasRows(n *node) string {
	agents, err := n.rows("SELECT count(*) AS n FROM agent WHERE id > 0 ORDER BY 1")
	if err != nil {
		return err.Error()
	}
	groups, err := n.rows("SELECT count(*) AS n FROM `group` ORDER BY 1")
	if err != nil {
		return err.Error()
	}
	have := fmt.Sprint(agents[0]["n"], " agents, ", groups[0]["n"], " groups")
	if want := fmt.Sprint(len(k.at), " agents, ", len(groupNames()), " groups"); have != want {
		return fmt.Sprintf("%s has %s, want %s", n, have, want)
	}
	return ""
}

// text is a value as JSON, with characters as they are.
func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // nothing here that has no JSON
	return strings.TrimSpace(b.String())
}

// report has agents tell all of themselves to the workers that they are at.
func (k *crowd) report(round int, ids []int) {
	k.c.t.Helper()
	requests := map[*node][]string{}
	for _, id := range ids {
		n := k.at[id]
		requests[n] = append(requests[n], "global update-agent-data "+text(k.data(id, round)))
	}
	for n, all := range requests {
		n.tellAll(all)
	}
}

// data is what an agent tells, with all that can be difficult in a text.
func (k *crowd) data(id, round int) map[string]any {
	data := map[string]any{
		"id": id, "os_name": "Débian GNU/Linux", "os_version": "12", "os_major": "12", "os_platform": "debian",
		"os_codename": "\"book\\worm\"", "os_uname": "Linux |" + agentName(id) + " |6.1.0 |#1 SMP |x86_64", "os_arch": "x86_64",
		"version": "Wazuh v4.7.5", "config_sum": fmt.Sprintf("%032x", id), "merged_sum": fmt.Sprintf("%032x", round),
		"manager_host": "host of " + k.at[id].name, "node_name": k.at[id].name, "agent_ip": fmt.Sprintf("10.%d.%d.%d", round, id/250, id%250),
		"connection_status": "active", "sync_status": "syncreq", "group_config_status": "synced",
	}
	if k.at[id].role == master { // which has nobody to tell
		data["sync_status"] = "synced"
	}
	if id%7 == 0 { // one that tells less
		delete(data, "os_codename")
		data["group_config_status"] = "not synced"
	}
	if id%5 != 0 {
		data["labels"] = fmt.Sprintf("\"Standort\":Köln – 東京 🐢 %d\n!hidden:'it''s' \\ \"quoted\": yes\n#\"_agent\":%d\nround:%d\n", id, id, round)
	}
	return data
}

// stayAlive is the agents' report of every ten seconds.
func (k *crowd) stayAlive(ids []int) {
	k.c.t.Helper()
	k.update("update-keepalive", ids, map[string]any{"connection_status": "active", "sync_status": "syncreq"})
}

// sayGoodbye is that of agents that end.
func (k *crowd) sayGoodbye(ids []int) {
	k.c.t.Helper()
	k.update("update-connection-status", ids, map[string]any{"connection_status": "disconnected", "sync_status": "syncreq", "status_code": 3})
}

func (k *crowd) update(verb string, ids []int, members map[string]any) {
	k.c.t.Helper()
	requests := map[*node][]string{}
	for _, id := range ids {
		members := maps.Clone(members)
		members["id"] = id
		requests[k.at[id]] = append(requests[k.at[id]], "global "+verb+" "+text(members))
	}
	for n, all := range requests {
		n.tellAll(all)
	}
}

// assign gives agents groups on the master, which is told of it as the API and
// the enrolment tell it.
func (k *crowd) assign(groups map[int][]string) {
	k.c.t.Helper()
	k.setGroups(k.c.master, "syncreq", groups)
	maps.Copy(k.groups, groups)
}

// setGroups gives agents groups in one database.
func (k *crowd) setGroups(n *node, sync string, groups map[int][]string) {
	k.c.t.Helper()
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(groups)), 400) {
		data := make([]map[string]any, 0, len(ids))
		for _, id := range ids {
			data = append(data, map[string]any{"id": id, "groups": groups[id]})
		}
		n.tell("global set-agent-groups " + text(map[string]any{"mode": "override", "sync_status": sync, "data": data}))
	}
}

// someGroups gives each agent one of six combinations, other ones with each turn.
func someGroups(ids []int, turn int) map[int][]string {
	all := groupNames()
	combinations := [][]string{all[:1], all[1:2], all[:2], {all[2], all[0]}, all, {all[3], all[1]}}
	groups := map[int][]string{}
	for _, id := range ids {
		groups[id] = combinations[(id+turn)%len(combinations)]
	}
	return groups
}
