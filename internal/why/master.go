package why

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/health"
	"testudo/internal/integrity"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// Registry is cluster.Master: who is connected and who is not.
type Registry interface {
	Members() []cluster.Member
	Absent() []cluster.Departure
	Refusals() []cluster.Refusal
	Strangers() []cluster.Stranger
}

// Files is integrity.Master.
type Files interface {
	Status(worker string) (integrity.Status, bool)
	Trouble(worker string) (integrity.Trouble, bool)
}

// Transfers is agentinfo.Master and agentgroups.Master.
type Transfers interface {
	Trouble(worker string) (chunks.Trouble, bool)
}

// MasterConfig is what a master's end needs.
type MasterConfig struct {
	Name     string
	Registry func() Registry // asked only while the node runs
	Files    Files
	Agents   Transfers // states of agents, from the worker
	Groups   Transfers // groups of agents, to the worker
	Board    *health.Board
	Silence  time.Duration // after which a silent worker is closed
	Started  time.Time
}

// Master is the master's end.
type Master struct{ cfg MasterConfig }

// NewMaster returns the master's end.
func NewMaster(cfg MasterConfig) *Master { return &Master{cfg} }

// Offer implements cluster.Exchange: workers ask for their own clients.
func (m *Master) Offer(_ *session.Session, mux *session.Mux) func(context.Context) {
	mux.Handle(Command, func(ctx context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
		text, err := m.Ask(ctx, payload)
		return session.OK(text), err
	})
	return nil
}

// Ask answers Command.
func (m *Master) Ask(_ context.Context, payload []byte) ([]byte, error) {
	name, err := argument(payload)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return encode(m.cfg.Name, m.All())
	}
	return encode(m.cfg.Name, []Report{m.Report(name)})
}

// All reports on every node that is known: the master, the workers in the order
// of their connection, those who left, those who were refused.
func (m *Master) All() []Report {
	r := m.cfg.Registry()
	reports := []Report{m.self()}
	seen := map[string]bool{m.cfg.Name: true}
	for _, w := range r.Members() {
		seen[w.Name] = true
		reports = append(reports, m.connected(r, w))
	}
	for _, d := range r.Absent() {
		if !seen[d.Name] {
			seen[d.Name] = true
			reports = append(reports, m.departed(r, d))
		}
	}
	for _, refusal := range r.Refusals() {
		if !seen[refusal.Name] {
			reports = append(reports, m.refused(refusal))
		}
	}
	return reports
}

// Report says how a node is.
func (m *Master) Report(name string) Report {
	r := m.cfg.Registry()
	if name == m.cfg.Name {
		self := m.self()
		m.others(&self, r)
		return self.sorted()
	}
	if i := slices.IndexFunc(r.Members(), func(w cluster.Member) bool { return w.Name == name }); i >= 0 {
		if list := r.Members(); i < len(list) && list[i].Name == name {
			return m.connected(r, list[i])
		}
	}
	for _, d := range r.Absent() {
		if d.Name == name {
			return m.departed(r, d)
		}
	}
	for _, refusal := range r.Refusals() {
		if refusal.Name == name {
			return m.refused(refusal)
		}
	}
	return m.unknown(r, name)
}

// self reports on the master.
func (m *Master) self() Report {
	r := Report{Node: m.cfg.Name, ToldBy: m.cfg.Name, State: Well, Since: when(m.cfg.Started)}
	r.conditions(m.cfg.Board, "On this node")
	r.Summary = fmt.Sprintf("%s is the master and runs.", m.cfg.Name)
	if r.State != Well {
		r.Summary = fmt.Sprintf("%s is the master and runs, but something is wrong with it.", m.cfg.Name)
	}
	return r.sorted()
}

// mostOthers bounds how many nodes a report names beside its own.
const mostOthers = 10

// others adds which nodes are not connected, for who asks a master how it is and
// means the cluster.
func (m *Master) others(r *Report, registry Registry) {
	seen := map[string]bool{}
	for _, w := range registry.Members() {
		seen[w.Name] = true
	}
	var names []string
	add := func(name string, state State) {
		if !seen[name] {
			seen[name] = true
			names = append(names, fmt.Sprintf("%s (%s)", logging.Quote(name), state))
		}
	}
	for _, d := range registry.Absent() {
		add(d.Name, Gone)
	}
	for _, refusal := range registry.Refusals() {
		add(refusal.Name, Refused)
	}
	if len(names) == 0 {
		return
	}
	if more := len(names) - mostOthers; more > 0 {
		names = append(names[:mostOthers], fmt.Sprintf("and %d more", more))
	}
	r.add(Finding{
		Severity: Note, Text: fmt.Sprintf("These nodes are not connected to it: %s.", strings.Join(names, ", ")),
		Remedy: "Ask with the name of one, 'testudo ctl why NAME', or see all in 'testudo ctl watch'.",
	})
}

// departed reports on a worker that was connected.
func (m *Master) departed(registry Registry, d cluster.Departure) Report {
	r := Report{Node: d.Name, ToldBy: m.cfg.Name, State: Gone, Since: when(d.Ended)}
	r.Summary = fmt.Sprintf("%s is not connected any more.", d.Name)
	code, advice := coded(d.Fault)
	f := Finding{
		Severity: Critical, Since: when(d.Ended), Code: code, Remedy: advice,
		Text:  fmt.Sprintf("Its session from %s, which had begun at %s, ended: %s.", d.Address, d.Connected.UTC().Format(time.DateTime+" MST"), d.Reason),
		Waits: "the worker, which tries again by itself as long as it runs",
	}
	if f.Remedy == "" {
		f.Remedy = "See whether the node runs and its network; ask the node itself with 'testudo ctl why' there."
	}
	r.add(f)
	m.refusals(&r, registry, d.Name)
	m.strangers(&r, registry, d.Address)
	return r.sorted()
}

// refusals adds that hellos under a name are refused.
func (m *Master) refusals(r *Report, registry Registry, name string) {
	for _, refusal := range registry.Refusals() {
		if refusal.Name == name {
			r.add(refusalFinding(refusal))
		}
	}
}

func refusalFinding(refusal cluster.Refusal) Finding {
	code, advice := coded(refusal.Fault)
	return Finding{
		Severity: Critical, Since: when(refusal.Since), Code: code, Remedy: advice,
		Text: fmt.Sprintf("A node of this name, at %s, was refused %s, last at %s: %s. It says that it belongs to cluster %s and has version %s.",
			refusal.Address, times(refusal.Times), refusal.Last.UTC().Format(time.DateTime+" MST"), logging.Quote(refusal.Fault.Error()),
			logging.Quote(refusal.Cluster), logging.Quote(refusal.Version)),
	}
}

// refused reports on a node that has never been let in.
func (m *Master) refused(refusal cluster.Refusal) Report {
	r := Report{Node: refusal.Name, ToldBy: m.cfg.Name, State: Refused, Since: when(refusal.Since)}
	r.Summary = fmt.Sprintf("%s wants to connect and is refused.", logging.Quote(refusal.Name))
	r.add(refusalFinding(refusal))
	return r.sorted()
}

// mostStrangers bounds how many addresses a report names.
const mostStrangers = 5

// strangers adds connections that are not understood: those from an address, or
// from any when it is empty.
func (m *Master) strangers(r *Report, registry Registry, address string) {
	n := 0
	for _, s := range registry.Strangers() {
		if address != "" && s.Address != address {
			continue
		}
		if n++; n > mostStrangers {
			return
		}
		code, advice := coded(s.Fault)
		r.add(Finding{
			Severity: Warning, Since: when(s.Since), Code: code, Remedy: advice,
			Text: fmt.Sprintf("Something at %s connects and is not understood (%s, last at %s): %s. This may be the node.",
				s.Address, times(s.Times), s.Last.UTC().Format(time.DateTime+" MST"), s.Reason),
		})
	}
}

// unknown reports on a name that nobody has had.
func (m *Master) unknown(registry Registry, name string) Report {
	name = logging.Quote(name)
	r := Report{Node: name, ToldBy: m.cfg.Name, State: Unknown}
	r.Summary = fmt.Sprintf("No node called %s has been connected since %s started.", name, m.cfg.Name)
	r.add(Finding{
		Severity: Critical, Since: when(m.cfg.Started), Text: "Nothing under this name has reached this master.",
		Remedy: "See whether the name is written as in the node's <node_name>, whether the node runs, and what 'testudo ctl why' says there.",
	})
	m.strangers(&r, registry, "")
	r.Known = []string{m.cfg.Name}
	for _, w := range registry.Members() {
		r.Known = append(r.Known, w.Name)
	}
	for _, d := range registry.Absent() {
		r.Known = append(r.Known, d.Name)
	}
	return r.sorted()
}

// connected reports on a worker that is connected.
func (m *Master) connected(registry Registry, w cluster.Member) Report {
	r := Report{Node: w.Name, ToldBy: m.cfg.Name, State: Well, Since: when(w.Connected)}
	r.add(Finding{Severity: Note, Text: fmt.Sprintf("It is connected from %s.", w.Address), Since: when(w.Connected)})
	m.silence(&r, w)
	m.files(&r, w.Name)
	m.transfers(&r, w.Name, m.cfg.Agents, "The states of its agents do not all reach this master's database")
	m.transfers(&r, w.Name, m.cfg.Groups, "The groups of agents do not all reach its database")
	m.refusals(&r, registry, w.Name)
	conditions := m.cfg.Board.All()
	wrong := make([]string, len(conditions))
	for i, c := range conditions {
		wrong[i] = c.Name
	}
	if len(wrong) > 0 {
		r.Findings = append(r.Findings, Finding{
			Severity: Note, Text: fmt.Sprintf("Something is wrong on the master, which may concern it: %s.", strings.Join(wrong, ", ")),
			Remedy: fmt.Sprintf("See 'testudo ctl why %s'.", m.cfg.Name),
		})
	}
	r.Summary = fmt.Sprintf("%s is connected and in step.", w.Name)
	if r.State != Well {
		r.Summary = fmt.Sprintf("%s is connected, but not all of it is as it should be.", w.Name)
	}
	return r.sorted()
}

// silence adds that nothing is heard of a worker.
func (m *Master) silence(r *Report, w cluster.Member) {
	last := w.LastKeepAlive
	if last.IsZero() {
		last = w.Connected
	}
	if quiet := time.Since(last); quiet > m.cfg.Silence*3/4 {
		r.add(Finding{
			Severity: Warning, Since: when(last), Code: fault.RequestTimeout,
			Text:   "It has sent no keep-alive for longer than it should.",
			Waits:  fmt.Sprintf("any sign of life; after %s without one its connection is closed", m.cfg.Silence),
			Remedy: "See how busy the node is, and the network between.",
		})
	}
}

// files adds how a worker's files are.
func (m *Master) files(r *Report, worker string) {
	t, ok := m.cfg.Files.Trouble(worker)
	status, _ := m.cfg.Files.Status(worker)
	switch {
	case !ok, !t.Ready:
		r.add(Finding{Severity: Warning, Text: "Its files have not been compared: this master has not read its own yet.", Waits: "the first reading of the master's files"})
		return
	case t.InStepSince.IsZero() && t.BehindSince.IsZero() && t.Err == nil:
		r.add(Finding{Severity: Warning, Text: "Its files have not been compared since it connected.", Waits: "its next check, which the worker begins (sync_integrity)"})
	case !t.BehindSince.IsZero():
		f := Finding{
			Severity: Warning, Since: when(t.BehindSince),
			Text:  fmt.Sprintf("Its files are not the master's: it was to create %d, to update %d and to delete %d.", status.Missing, status.Shared, status.Extra),
			Waits: "its next check, which will tell whether it has them",
		}
		if !t.Compared {
			f.Text = "Its files are not the master's; what it lacks is not known yet."
		}
		if !t.Busy.IsZero() {
			f.Waits = "the end of the synchronisation that is under way since " + t.Busy.UTC().Format(time.TimeOnly+" MST")
		}
		r.add(f)
	case !t.InStepSince.IsZero():
		r.add(Finding{Severity: Note, Since: when(t.InStepSince), Text: "Its files are the master's."})
	}
	if t.LeftCount > 0 {
		r.add(Finding{
			Severity: Warning,
			Text:     fmt.Sprintf("%d of the files do not reach it: %s.", t.LeftCount, leftOut(t.Left)),
			Remedy:   fmt.Sprintf("See 'testudo files --node %s --state failed' on the master; make the files smaller or readable, or make room on the worker.", worker),
		})
	}
	if t.Err != nil {
		code, advice := coded(numbered(t.Err))
		r.add(Finding{
			Severity: Warning, Since: when(t.ErrAt), Code: code, Remedy: advice, Waits: "the next check, which tries again",
			Text: fmt.Sprintf("Synchronising its files failed %s: %s.", times(t.Failures), logging.Quote(t.Err.Error())),
		})
	}
}

// leftOut names files with the reasons.
func leftOut(files []integrity.LeftOut) string {
	var b strings.Builder
	for i, f := range files {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == 3 {
			b.WriteString("and others")
			break
		}
		fmt.Fprintf(&b, "%s (%s)", logging.Quote(f.Path), logging.Quote(f.Reason))
	}
	return b.String()
}

// transfers adds that agents' data do not arrive.
func (m *Master) transfers(r *Report, worker string, from Transfers, what string) {
	if from == nil {
		return
	}
	if t, ok := from.Trouble(worker); ok {
		r.add(Finding{
			Severity: Warning, Since: when(t.Since), Waits: "the next turn, which sends them again",
			Text:   fmt.Sprintf("%s: failed %s, last with %s.", what, times(t.Failures), logging.Quote(t.Text)),
			Remedy: "See the log of the node whose database it is, and 'testudo doctor' there.",
		})
	}
}
