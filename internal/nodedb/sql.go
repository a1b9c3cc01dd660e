package nodedb

import (
	"fmt"
	"strings"

	"testudo/internal/agent"
)

// The statements that a database understands that knows nothing of our verbs,
// and that read its file (docs/agentdb.md §7.7, §8).

// columns are those of row, under its names.
const columns = `id, name, ip, connection_status AS status, node_name AS node, ` +
	`version, "group" AS groups, last_keepalive`

// row is one agent in the answer.
type row struct {
	ID            int64  `json:"id"`
	Name          string `json:"name"`
	IP            string `json:"ip"`
	Status        string `json:"status"`
	Node          string `json:"node"`
	Version       string `json:"version"`
	Groups        string `json:"groups"`
	LastKeepalive int64  `json:"last_keepalive"`
}

func (r row) agent() Agent {
	a := Agent{
		ID: agent.ID(r.ID).String(), Name: r.Name, IP: r.IP, Status: r.Status, Node: r.Node, Version: r.Version,
		Groups: []string{}, LastKeepalive: r.LastKeepalive,
	}
	if r.Groups != "" {
		a.Groups = strings.Split(r.Groups, ",")
	}
	return a
}

// where is the condition of a filter without After.
func (f Filter) where() string {
	terms := []string{"id > 0"}
	for _, equal := range []struct{ column, value string }{
		{"connection_status", f.Status}, {"node_name", f.Node}, {"version", f.Version},
	} {
		if equal.value != "" {
			terms = append(terms, equal.column+" = "+quote(equal.value))
		}
	}
	if f.Group != "" {
		terms = append(terms, `instr(',' || "group" || ',', `+quote(","+f.Group+",")+") > 0")
	}
	if f.Name != "" {
		terms = append(terms, "instr(name, "+quote(f.Name)+") > 0")
	}
	return strings.Join(terms, " AND ")
}

// page asks for the next agents.
func (f Filter) page(after int64, limit int) string {
	return fmt.Sprintf("SELECT %s FROM agent WHERE %s AND id > %d ORDER BY id LIMIT %d", columns, f.where(), after, limit)
}

// count asks how many agents pass the filter.
func (f Filter) count() string {
	return "SELECT count(*) AS n FROM agent WHERE " + f.where()
}

const countStatement = `SELECT node_name AS node, connection_status AS status, count(*) AS n FROM agent WHERE id > 0 GROUP BY 1, 2`

// countRow is one line of its answer.
type countRow struct {
	Node   string `json:"node"`
	Status string `json:"status"`
	N      int    `json:"n"`
}

func (c *Counts) add(r countRow) {
	if c.ByStatus == nil {
		c.ByStatus, c.ByNode = map[string]int{}, map[string]map[string]int{}
	}
	c.Total += r.N
	c.ByStatus[r.Status] += r.N
	if c.ByNode[r.Node] == nil {
		c.ByNode[r.Node] = map[string]int{}
	}
	c.ByNode[r.Node][r.Status] += r.N
}

// quote makes an SQL text of a word. What SQL cannot hold is taken out.
func quote(word string) string {
	word = strings.ReplaceAll(word, "\x00", "")
	return "'" + strings.ReplaceAll(word, "'", "''") + "'"
}
