// Package metrics holds the figures that a node publishes: one registry, one
// naming (`testudo_<what>_<unit>`), one method for each thing that can be
// counted. Nobody else imports the Prometheus library.
//
// Labels have few values: a label's values beyond a fixed number are counted
// under "other", so that no peer can make the registry grow.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the values of one label.
const (
	maxReasons = 64
	maxWorkers = 1024
)

// Set is all metrics of one node. A nil *Set does nothing, so that whoever is
// not interested in figures passes nil. All methods are safe for concurrent use.
type Set struct {
	Registry *prometheus.Registry

	sessions     prometheus.Gauge
	refused      *prometheus.CounterVec
	received     prometheus.Counter
	sent         prometheus.Counter
	framesIn     prometheus.Counter
	framesOut    prometheus.Counter
	refusedFrame *prometheus.CounterVec

	rounds       *prometheus.CounterVec
	roundSeconds prometheus.Histogram
	files        *prometheus.GaugeVec
	manifest     prometheus.Gauge
	lag          *prometheus.GaugeVec
	inStep       *prometheus.GaugeVec
	queue        *prometheus.GaugeVec
	heldBack     prometheus.Gauge
	bundle       prometheus.Counter
	cache        prometheus.Gauge
	hashed       prometheus.Counter
	logLines     *prometheus.CounterVec
	agent        agentSet
	calls        callSet
	local        localSet
	enrolPort    enrolPortSet
	registrar    registrarSet

	connectionReasons, frameReasons, results, states, workers, queues, levels *values
}

// New makes the metrics of the node called name, whose role is "master" or
// "worker". Both stand in the metric testudo_node_info.
func New(node, role string) *Set {
	s := &Set{
		Registry:          prometheus.NewRegistry(),
		connectionReasons: newValues(maxReasons),
		frameReasons:      newValues(maxReasons),
		results:           newValues(maxReasons),
		states:            newValues(maxReasons),
		workers:           newValues(maxWorkers),
		queues:            newValues(maxWorkers), // there may be one for each worker
		levels:            newValues(maxReasons),
	}
	f := factory{s.Registry}
	s.addConnections(f)
	s.addIntegrity(f)
	s.agent = newAgentSet(f)
	s.calls = newCallSet(f)
	s.local = newLocalSet(f)
	s.enrolPort = newEnrolPortSet(f)
	s.registrar = newRegistrarSet(f)
	s.logLines = f.counters("log_lines_total", "Lines written to the log, by level.", "level")
	f.gauges("node_info", "Always 1; the labels say which node this is.", "node", "role").WithLabelValues(node, role).Set(1)
	s.Registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

func (s *Set) addConnections(f factory) {
	s.sessions = f.gauge("sessions", "Sessions with other nodes that are open now.")
	s.refused = f.counters("connections_refused_total", "Connections that were refused, by reason.", "reason")
	s.received = f.counter("received_bytes_total", "Bytes received from other nodes.")
	s.sent = f.counter("sent_bytes_total", "Bytes sent to other nodes.")
	frames := f.counters("frames_total", "Frames exchanged with other nodes, by direction (in, out).", "direction")
	s.framesIn, s.framesOut = frames.WithLabelValues("in"), frames.WithLabelValues("out")
	s.refusedFrame = f.counters("refused_frames_total", "Frames of other nodes that were refused, by reason.", "reason")
	s.queue = f.gauges("queue_depth", "Things that wait in a queue.", "queue")
}

func (s *Set) addIntegrity(f factory) {
	s.rounds = f.counters("integrity_rounds_total", "Rounds of the integrity check, by result.", "result")
	s.roundSeconds = f.histogram("integrity_round_seconds", "Duration of a round of the integrity check.")
	s.files = f.gauges("files", "Synchronised files at this node, by state.", "state")
	s.manifest = f.gauge("files_in_manifest", "Files that the last look at the disk found.")
	s.lag = f.gauges("worker_lag_seconds", "Seconds since the worker was last known to have the master's files.", "worker")
	s.inStep = f.gauges("worker_in_step", "1 when the worker has the master's files, else 0.", "worker")
	s.heldBack = f.gauge("held_back", "1 while the master holds back a change that removes too much.")
	s.bundle = f.counter("bundle_bytes_total", "Bytes of file bundles sent or received.")
	s.cache = f.gauge("bundle_cache_bytes", "Bytes of compressed files kept for reuse.")
	s.hashed = f.counter("hashed_bytes_total", "Bytes of files read for their digest.")
}

// Handler serves the metrics in the formats Prometheus reads; of a nil *Set
// it answers 404.
func (s *Set) Handler() http.Handler {
	if s == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{Registry: s.Registry})
}

// factory makes and registers metrics under the common prefix.
type factory struct{ registry *prometheus.Registry }

const namespace = "testudo"

func (f factory) counter(name, help string) prometheus.Counter {
	m := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	f.registry.MustRegister(m)
	return m
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(m)
	return m
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	m := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	f.registry.MustRegister(m)
	return m
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	m := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(m)
	return m
}

func (f factory) histogram(name, help string) prometheus.Histogram {
	m := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
	})
	f.registry.MustRegister(m)
	return m
}
