package why

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/nodeinfo"
	"testudo/internal/session"
)

// Link is cluster.Worker: the way to the master.
type Link interface {
	Connected() time.Time
	Trouble() (cluster.Trouble, bool)
}

// WorkerConfig is what a worker's end needs.
type WorkerConfig struct {
	Name    string
	Link    func() Link                                        // asked only while the node runs
	InStep  func() bool                                        // the files have been the master's since the start
	Health  func(ctx context.Context) (nodeinfo.Health, error) // of all nodes, by the master
	Board   *health.Board
	Started time.Time
	// Enrolment is nil where agents do not ask this node for keys.
	Enrolment Enrolment
}

// Worker is the worker's end.
type Worker struct {
	cfg    WorkerConfig
	master atomic.Pointer[session.Session] // nil when not connected
}

// NewWorker returns the worker's end.
func NewWorker(cfg WorkerConfig) *Worker { return &Worker{cfg: cfg} }

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, _ *session.Mux) func(context.Context) {
	return func(ctx context.Context) {
		w.master.Store(s)
		<-ctx.Done()
		w.master.CompareAndSwap(s, nil)
	}
}

// Ask answers Command: about this node what it knows itself, then what its
// master knows.
func (w *Worker) Ask(ctx context.Context, payload []byte) ([]byte, error) {
	name, err := argument(payload)
	if err != nil {
		return nil, err
	}
	var reports []Report
	if name == "" || name == w.cfg.Name {
		reports = append(reports, w.Report())
	}
	reports = append(reports, w.fromMaster(ctx, name)...)
	return encode(w.cfg.Name, reports)
}

// fromMaster asks the master; what goes wrong is in the reports.
func (w *Worker) fromMaster(ctx context.Context, name string) []Report {
	s := w.master.Load()
	if s == nil {
		if name == "" || name == w.cfg.Name {
			return nil // our own report says why
		}
		return []Report{w.blind(name, nil)}
	}
	if !s.PeerIsTestudo() {
		return w.fromHealth(ctx, name)
	}
	text, err := s.Request(ctx, Command, []byte(name))
	if err == nil {
		var reports []Report
		if reports, err = Parse(text); err == nil {
			return reports
		}
	} else if IsUnknown(err) { // an older Testudo
		return w.fromHealth(ctx, name)
	}
	return []Report{w.blind(name, err)}
}

// IsUnknown says of an error of Command whether the other end does not have the command, as a 4.7.5
// node does not.
func IsUnknown(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.RemoteText && strings.Contains(f.Error(), "unknown command")
}

// fromHealth makes do with what any master tells.
func (w *Worker) fromHealth(ctx context.Context, name string) []Report {
	h, err := w.cfg.Health(ctx)
	if err != nil {
		return []Report{w.blind(name, err)}
	}
	return FromHealth(name, h, time.Now())
}

// blind reports that nothing can be said of another node.
func (w *Worker) blind(name string, err error) Report {
	r := Report{Node: logging.Quote(name), ToldBy: w.cfg.Name, State: Unknown}
	r.Summary = fmt.Sprintf("%s cannot say anything about other nodes: it has no answer from its master.", w.cfg.Name)
	if err != nil {
		code, advice := coded(fault.From(err))
		r.add(Finding{Severity: Critical, Code: code, Remedy: advice, Text: sentence(logging.Quote(err.Error()))})
		return r.sorted()
	}
	w.link(&r)
	return r.sorted()
}

// Report says how this worker is.
func (w *Worker) Report() Report {
	r := Report{Node: w.cfg.Name, ToldBy: w.cfg.Name, State: Well, Since: when(w.cfg.Link().Connected())}
	w.link(&r)
	if r.State == Well && !w.cfg.InStep() {
		r.add(Finding{Severity: Warning, Since: when(w.cfg.Started), Text: "Its files have not been the master's since it started.", Waits: "the check and synchronisation of files"})
	}
	w.enrolment(&r)
	r.conditions(w.cfg.Board, "On this node")
	switch r.State {
	case Well:
		r.Summary = fmt.Sprintf("%s runs and is connected to its master.", w.cfg.Name)
	case Gone:
		r.Summary = fmt.Sprintf("%s runs, but has no master.", w.cfg.Name)
	default:
		r.Summary = fmt.Sprintf("%s runs and is connected to its master, but not all is as it should be.", w.cfg.Name)
	}
	return r.sorted()
}

// link adds how the way to the master is.
func (w *Worker) link(r *Report) {
	link := w.cfg.Link()
	if since := link.Connected(); !since.IsZero() {
		r.add(Finding{Severity: Note, Since: when(since), Text: "It is connected to its master."})
		return
	}
	t, failed := link.Trouble()
	if r.State == Well {
		r.State, r.Since = Gone, when(t.Since)
	}
	if !failed {
		r.add(Finding{Severity: Warning, Since: when(w.cfg.Started), Text: "It has not reached its master yet.", Waits: "the first try to connect"})
		return
	}
	code, advice := coded(t.Fault)
	f := Finding{
		Severity: Critical, Since: when(t.Since), Code: code, Remedy: t.Hint, Waits: "the next try, which comes by itself within some seconds",
		Text: fmt.Sprintf("It cannot reach its master at %s, tried %s, last at %s: %s.",
			t.Master, times(t.Times), t.Last.UTC().Format(time.DateTime+" MST"), logging.Quote(t.Text)),
	}
	if f.Remedy == "" {
		f.Remedy = advice
	}
	r.add(f)
}
