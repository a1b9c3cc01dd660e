package metrics

import "github.com/prometheus/client_golang/prometheus"

// maxFunctions bounds the functions that are told apart.
const maxFunctions = 256

// callSet is what a node publishes of the distributed API.
type callSet struct {
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram

	functions, results *values
}

func newCallSet(f factory) callSet {
	return callSet{
		requests: f.counters("dapi_requests_total",
			"Requests of the distributed API that this node answered or sent on, by function and result (ok, error, busy).", "function", "result"),
		seconds:   f.histogram("dapi_request_seconds", "Time from a request of the distributed API to its answer."),
		functions: newValues(maxFunctions), results: newValues(maxReasons),
	}
}

// DAPIRequest records one request of the distributed API: the function, which is
// one that the node knows, how it went and how long that took.
func (s *Set) DAPIRequest(function, result string, seconds float64) {
	if s == nil {
		return
	}
	s.calls.requests.WithLabelValues(s.calls.functions.take(function), s.calls.results.take(result)).Inc()
	s.calls.seconds.Observe(seconds)
}
