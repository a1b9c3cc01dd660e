package nodedb

// Agent is one agent as a node's database has it.
type Agent struct {
	ID            string   `json:"id"` // at least three digits
	Name          string   `json:"name"`
	IP            string   `json:"ip,omitempty"` // the last address seen
	Status        string   `json:"status"`
	Node          string   `json:"node,omitempty"` // that it reports to
	Version       string   `json:"version,omitempty"`
	Groups        []string `json:"groups"`                   // by priority
	LastKeepalive int64    `json:"last_keepalive,omitempty"` // Unix seconds
}

// Filter says which agents are wanted. Empty fields want all.
type Filter struct {
	Status  string // exactly
	Node    string // exactly
	Version string // exactly: "Wazuh v4.7.5"
	Group   string // one of the agent's groups
	Name    string // a part of it, case counts
	After   int64  // only ids above it
	Limit   int    // at most so many; 0 for all
}

// Counts is how many agents there are, without the node's own entry 000.
type Counts struct {
	Total    int                       `json:"total"`
	ByStatus map[string]int            `json:"by_status"`
	ByNode   map[string]map[string]int `json:"by_node"` // node, status
}

// Statuses are the states of an agent (docs/agents.md §11), in the order in
// which people want to see them.
func Statuses() []string { return []string{"active", "disconnected", "pending", "never_connected"} }
