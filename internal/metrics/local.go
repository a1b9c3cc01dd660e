package metrics

import "github.com/prometheus/client_golang/prometheus"

// localSet is what a node publishes of the socket of local programs.
type localSet struct {
	connections prometheus.Gauge
	requests    prometheus.Counter
	closed      *prometheus.CounterVec

	reasons *values
}

func newLocalSet(f factory) localSet {
	return localSet{
		connections: f.gauge("local_connections", "Connections of local programs that are open now."),
		requests:    f.counter("local_requests_total", "Requests of local programs."),
		closed: f.counters("local_connections_closed_total",
			"Connections of local programs that the node closed, by reason (too many, evicted, idle, slow, failed).", "reason"),
		reasons: newValues(maxReasons),
	}
}

// LocalConnections says how many connections of local programs are open.
func (s *Set) LocalConnections(n int) {
	if s != nil {
		s.local.connections.Set(float64(n))
	}
}

// LocalRequest records one request of a local program.
func (s *Set) LocalRequest() {
	if s != nil {
		s.local.requests.Inc()
	}
}

// LocalClosed counts a connection of a local program that the node closed.
func (s *Set) LocalClosed(reason string) {
	if s != nil {
		s.local.closed.WithLabelValues(s.local.reasons.take(reason)).Inc()
	}
}
