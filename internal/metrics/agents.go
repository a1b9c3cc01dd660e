package metrics

import "github.com/prometheus/client_golang/prometheus"

// agentSet is what a node publishes of its agents and of their database.
type agentSet struct {
	agents  *prometheus.GaugeVec
	byNode  *prometheus.GaugeVec
	timed   prometheus.Counter
	held    *prometheus.GaugeVec
	merged  prometheus.Counter
	batches prometheus.Histogram
	writes  *prometheus.CounterVec
	depth   prometheus.Gauge

	requests    *prometheus.CounterVec
	errors      *prometheus.CounterVec
	seconds     prometheus.Histogram
	connections prometheus.Gauge

	nodes, states, actors, results, kinds *values
}

func newAgentSet(f factory) agentSet {
	return agentSet{
		agents: f.gauges("agents", "Agents in this node's database, by state.", "state"),
		byNode: f.gauges("agents_by_node", "Agents in this node's database, by the node they report to and state.", "node", "state"),
		timed:  f.counter("agents_timed_out_total", "Agents that became disconnected because no keep-alive came in time."),
		held:   f.gauges("removals_held_back", "Things whose removal from the database is held back, by kind (agents, groups).", "kind"),
		merged: f.counter("merged_files_written_total", "Files merged.mg written, of groups and multigroups."),

		batches: f.histogram("agentdb_commit_seconds", "Duration of a commit of the agent database."),
		writes:  f.counters("agentdb_writes_total", "Writes to the agent database, by result (ok, error).", "result"),
		depth:   f.gauge("agentdb_queue_depth", "Writes that wait for the next commit of the agent database."),

		requests:    f.counters("wdb_requests_total", "Requests on the database socket, by actor.", "actor"),
		errors:      f.counters("wdb_errors_total", "Requests on the database socket answered with an error, by actor.", "actor"),
		seconds:     f.histogram("wdb_request_seconds", "Time from a request on the database socket to its answer."),
		connections: f.gauge("wdb_connections", "Connections to the database socket that are open now."),

		nodes: newValues(maxWorkers), states: newValues(maxReasons), actors: newValues(maxReasons),
		results: newValues(maxReasons), kinds: newValues(maxReasons),
	}
}

// Agents says how many agents of the database are in the state.
func (s *Set) Agents(state string, n int) {
	if s != nil {
		s.agent.agents.WithLabelValues(s.agent.states.take(state)).Set(float64(n))
	}
}

// AgentsByNode says how many agents that report to the node are in the state.
// Nodes beyond a fixed number are told as one, "other", with the last figure
// given: there are never as many.
func (s *Set) AgentsByNode(node, state string, n int) {
	if s != nil {
		s.agent.byNode.WithLabelValues(s.agent.nodes.take(node), s.agent.states.take(state)).Set(float64(n))
	}
}

// ForgetAgentsOfNode removes the figures of a node to which no agent reports
// any more.
func (s *Set) ForgetAgentsOfNode(node string) {
	if s != nil && s.agent.nodes.drop(node) {
		s.agent.byNode.DeletePartialMatch(prometheus.Labels{"node": node})
	}
}

// AgentsTimedOut counts n agents that became disconnected by the timer.
func (s *Set) AgentsTimedOut(n int) {
	if s != nil && n > 0 {
		s.agent.timed.Add(float64(n))
	}
}

// RemovalsHeldBack says how many things of the kind ("agents", "groups") are
// not removed from the database because too many would go at once.
func (s *Set) RemovalsHeldBack(kind string, n int) {
	if s != nil {
		s.agent.held.WithLabelValues(s.agent.kinds.take(kind)).Set(float64(n))
	}
}

// MergedFileWritten counts one merged.mg.
func (s *Set) MergedFileWritten() {
	if s != nil {
		s.agent.merged.Inc()
	}
}

// AgentDBCommit records one commit of the agent database: the writes in it that
// were answered well, those that failed, and how long it took.
func (s *Set) AgentDBCommit(ok, failed int, seconds float64) {
	if s == nil {
		return
	}
	s.agent.batches.Observe(seconds)
	if ok > 0 {
		s.agent.writes.WithLabelValues(s.agent.results.take("ok")).Add(float64(ok))
	}
	if failed > 0 {
		s.agent.writes.WithLabelValues(s.agent.results.take("error")).Add(float64(failed))
	}
}

// AgentDBQueue says how many writes wait for the agent database.
func (s *Set) AgentDBQueue(n int) {
	if s != nil {
		s.agent.depth.Set(float64(n))
	}
}

// WDBRequest records one request on the database socket, whether its answer was
// an error, and how long that took. actor is the request's first word, or what
// stands for it; it is a peer's text, and only its first 64 values are told
// apart.
func (s *Set) WDBRequest(actor string, failed bool, seconds float64) {
	if s == nil {
		return
	}
	actor = s.agent.actors.take(actor)
	s.agent.requests.WithLabelValues(actor).Inc()
	if failed {
		s.agent.errors.WithLabelValues(actor).Inc()
	}
	s.agent.seconds.Observe(seconds)
}

// WDBConnections says how many connections to the database socket are open.
func (s *Set) WDBConnections(n int) {
	if s != nil {
		s.agent.connections.Set(float64(n))
	}
}
