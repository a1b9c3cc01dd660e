package metrics

import "github.com/prometheus/client_golang/prometheus"

// localSet is what a node publishes of the socket of local programs.
type localSet struct {
	connections prometheus.Gauge
	requests    prometheus.Counter
}

func newLocalSet(f factory) localSet {
	return localSet{
		connections: f.gauge("local_connections", "Connections of local programs that are open now."),
		requests:    f.counter("local_requests_total", "Requests of local programs."),
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
