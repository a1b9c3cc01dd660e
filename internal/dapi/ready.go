package dapi

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/result"
)

// daemons are the names that a request may list as basic_services.
var daemons = []string{
	"wazuh-agentlessd", "wazuh-analysisd", "wazuh-authd", "wazuh-csyslogd", "wazuh-dbd", "wazuh-monitord", //nolint:misspell // its name
	"wazuh-execd", "wazuh-integratord", "wazuh-logcollector", "wazuh-maild", "wazuh-remoted", "wazuh-reportd",
	"wazuh-syscheckd", "wazuh-clusterd", "wazuh-modulesd", "wazuh-db", "wazuh-apid",
}

// usual are those of a request that lists none; the last is left out where no
// agents connect.
var usual = []string{"wazuh-modulesd", "wazuh-analysisd", "wazuh-execd", "wazuh-db", "wazuh-remoted"}

// statusFunction tells how the daemons are, so it needs none of them.
const statusFunction = "wazuh.manager.get_status"

// Readiness says which daemons a function may rely on.
type Readiness struct {
	Daemons   Daemons                  // nil: all run
	Installed func(daemon string) bool // one that is stopped and not installed is not missed; nil: all are
	Embedded  []string                 // daemons whose work this process does
	Local     bool                     // an installation of type local, without wazuh-remoted
}

// readiness remembers the states of daemons for a moment, since looking takes
// longer than many functions do.
type readiness struct {
	Readiness

	mu    sync.Mutex
	until time.Time
	known map[string]string
}

const readyFor = 500 * time.Millisecond

var errDaemon = errors.New("basic_services holds what is no daemon")

// check says which of the daemons that a request needs are not ready: error
// 1017.
func (r *readiness) check(q *Request, here result.Origin) error {
	if q.Function.Key() == statusFunction {
		return nil
	}
	needed := q.Services
	if len(needed) == 0 {
		needed = usual
		if r.Local {
			needed = usual[:len(usual)-1]
		}
	}
	var missing []string
	for _, name := range needed {
		if !slices.Contains(daemons, name) {
			return errDaemon
		}
		if state := r.state(name); state != "" {
			missing = append(missing, name+"->"+state)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	node := here.Node
	if !here.Readable {
		node = result.UnknownNode
	}
	return fault.New(fault.DaemonsNotReady, map[string]any{
		"node_name": node, "not_ready_daemons": strings.Join(missing, ", "),
	})
}

// state is why the daemon is not ready, or empty.
func (r *readiness) state(name string) string {
	if r.Daemons == nil || slices.Contains(r.Embedded, name) {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); !now.Before(r.until) {
		r.known, r.until = make(map[string]string), now.Add(readyFor)
	}
	state, known := r.known[name]
	if !known {
		state = r.look(name)
		r.known[name] = state
	}
	return state
}

func (r *readiness) look(name string) string {
	switch state := r.Daemons.State(name); state {
	case "failed", "restarting":
		return state
	case "stopped":
		if r.Installed == nil || r.Installed(name) {
			return state
		}
	}
	return ""
}
