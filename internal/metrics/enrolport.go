package metrics

import "github.com/prometheus/client_golang/prometheus"

// enrolPortSet is what a node publishes of the port at which agents enrol.
type enrolPortSet struct {
	connections prometheus.Gauge
	refused     *prometheus.CounterVec
	requests    *prometheus.CounterVec
	seconds     prometheus.Histogram

	reasons, results *values
}

func newEnrolPortSet(f factory) enrolPortSet {
	return enrolPortSet{
		connections: f.gauge("enrol_connections", "Connections of agents that enrol that are open now."),
		refused: f.counters("enrol_connections_refused_total",
			"Connections of agents that enrol that came to nothing, by reason (too often, too many, evicted, no tls, silent).", "reason"),
		requests: f.counters("enrol_requests_total",
			"Requests at the enrolment port, by result (key, refused, error, lost, unknown).", "result"),
		seconds: f.histogram("enrol_request_seconds", "Time from the connection of an agent that enrols to its answer."),
		reasons: newValues(maxReasons), results: newValues(maxReasons),
	}
}

// EnrolConnections says how many connections of agents that enrol are open.
func (s *Set) EnrolConnections(n int) {
	if s != nil {
		s.enrolPort.connections.Set(float64(n))
	}
}

// EnrolRefused counts a connection of an agent that enrols that came to nothing.
func (s *Set) EnrolRefused(reason string) {
	if s != nil {
		s.enrolPort.refused.WithLabelValues(s.enrolPort.reasons.take(reason)).Inc()
	}
}

// EnrolRequest records one request at the enrolment port: how it went, and the
// time from the connection to the answer.
func (s *Set) EnrolRequest(result string, seconds float64) {
	if s == nil {
		return
	}
	s.enrolPort.requests.WithLabelValues(s.enrolPort.results.take(result)).Inc()
	s.enrolPort.seconds.Observe(seconds)
}
