package metrics

import "github.com/prometheus/client_golang/prometheus"

// registrarSet is what a node publishes of the keys that it gives out.
type registrarSet struct {
	registrations *prometheus.CounterVec
	seconds       prometheus.Histogram
	removals      *prometheus.CounterVec
	keys, held    prometheus.Gauge

	outcomes, results *values
}

func newRegistrarSet(f factory) registrarSet {
	return registrarSet{
		registrations: f.counters("registrations_total", "Registrations of agents that this node decided or had its master decide, by outcome.", "outcome"),
		seconds:       f.histogram("registration_seconds", "Time from an agent's request for a key to the decision."),
		removals:      f.counters("key_removals_total", "Keys that were to be removed, by result (ok, unknown, error).", "result"),
		keys:          f.gauge("keys", "Agents in client.keys of this master."),
		held:          f.gauge("registrations_held", "Registrations of which it is not known whether the agent has its key."),
		outcomes:      newValues(maxReasons), results: newValues(maxReasons),
	}
}

// Registration records one registration: its outcome and how long it took.
func (s *Set) Registration(outcome string, seconds float64) {
	if s != nil {
		s.registrar.registrations.WithLabelValues(s.registrar.outcomes.take(outcome)).Inc()
		s.registrar.seconds.Observe(seconds)
	}
}

// KeyRemoval records how the removal of a key went.
func (s *Set) KeyRemoval(result string) {
	if s != nil {
		s.registrar.removals.WithLabelValues(s.registrar.results.take(result)).Inc()
	}
}

// Keys says how many agents have a key, and of how many it is not known whether
// they have it yet.
func (s *Set) Keys(keys, held int) {
	if s != nil {
		s.registrar.keys.Set(float64(keys))
		s.registrar.held.Set(float64(held))
	}
}
