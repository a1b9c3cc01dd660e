package simulate

import (
	"slices"
	"time"
)

// Report is what a simulation found. Times are in seconds, lags in
// milliseconds.
type Report struct {
	Converged bool     `json:"converged"` // all nodes agree, nothing came late, nothing was refused
	Problem   string   `json:"problem,omitempty"`
	Nodes     []string `json:"nodes"` // the master first
	Agents    int      `json:"agents"`
	Groups    int      `json:"groups"`

	RegisterSeconds float64 `json:"register_s"` // until every node had all agents and groups
	GroupsSeconds   float64 `json:"assign_s"`   // the assignment of all groups on the master
	RunSeconds      float64 `json:"run_s"`
	SettleSeconds   float64 `json:"settle_s"` // from the end of the writing until all agreed

	Asked      float64 `json:"asked_per_s"`    // keep-alives
	Achieved   float64 `json:"achieved_per_s"` // keep-alives answered ok
	Missed     int64   `json:"missed"`         // keep-alives for which a database was not fast enough
	Connected  int64   `json:"connected"`
	Moved      int64   `json:"moved"`
	Left       int64   `json:"left"`
	Returned   int64   `json:"returned"`
	Regrouped  int64   `json:"regrouped"`
	Reconnects int64   `json:"reconnects"` // connections to databases that were lost and made again

	Refused  int64          `json:"refused"` // writes answered err
	Refusals map[string]int `json:"refusals,omitempty"`

	StateLag Lag `json:"state_lag_ms"` // a write on a worker, until the master shows it
	GroupLag Lag `json:"group_lag_ms"` // a group given on the master, until a worker shows it

	Compared bool     `json:"compared"`
	Wrong    int      `json:"wrong"` // rows that differ from what was written, at the end
	Examples []string `json:"examples,omitempty"`
}

// Lag sums up how long sampled writes took.
type Lag struct {
	Samples int     `json:"samples"`
	Late    int     `json:"late"` // not seen in time
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
}

// Status is how a run goes.
type Status struct {
	Elapsed  time.Duration
	Asked    float64 // keep-alives a second
	Achieved float64 // keep-alives a second, since the beginning
	Missed   int64
	Moved    int64
	Left     int64
	Returned int64
	Groups   int64 // groups changed
	Refused  int64
	Awaited  int // sampled writes that are looked for
	StateLag Lag
	GroupLag Lag
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

func lagOf(probes ...*probe) Lag {
	var all []time.Duration
	var l Lag
	for _, p := range probes {
		if p != nil {
			lags, late := p.lag()
			all = append(all, lags...)
			l.Late += late
		}
	}
	if l.Samples = len(all); l.Samples == 0 {
		return l
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		d := all[min(int(q*float64(len(all))), len(all)-1)]
		return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
	}
	l.P50, l.P90, l.P99, l.Max = at(0.5), at(0.9), at(0.99), at(1)
	return l
}

// asked is the rate of keep-alives that was asked for.
func (s *Simulation) asked() float64 { return float64(len(s.herd)) / s.o.Keepalive.Seconds() }

func (s *Simulation) achieved(elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(s.tally.done[keepsAlive].Load()+s.tally.done[connects].Load()) / elapsed.Seconds()
}

func (s *Simulation) status(p *pacer) Status {
	st := Status{
		Elapsed: time.Since(p.began), Asked: s.asked(), Missed: p.missed, Moved: p.moved, Left: p.left, Returned: p.returned,
		Groups: p.regroups, Refused: s.tally.refused.Load(), StateLag: lagOf(s.stateProbe), GroupLag: lagOf(s.groupProbes...),
	}
	st.Achieved = s.achieved(st.Elapsed)
	for _, p := range s.probes() {
		st.Awaited += p.open()
	}
	return st
}

// finishRun takes down what a run did.
func (s *Simulation) finishRun(p *pacer, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	r.RunSeconds, r.Asked, r.Achieved, r.Missed = seconds(took), s.asked(), s.achieved(took), p.missed
	r.Connected, r.Moved, r.Left, r.Returned, r.Regrouped = s.tally.done[connects].Load(), p.moved, p.left, p.returned, p.regroups
	r.Reconnects, r.Refused = s.tally.again.Load(), s.tally.refused.Load()
	s.tally.mu.Lock()
	r.Refusals = s.tally.refusals
	s.tally.mu.Unlock()
	r.StateLag, r.GroupLag = lagOf(s.stateProbe), lagOf(s.groupProbes...)
}

// Report tells what was found so far.
func (s *Simulation) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	switch {
	case !r.Compared:
		r.Problem = "the simulation did not come to its end"
	case r.Wrong > 0:
		r.Problem = "the nodes do not agree"
	case r.StateLag.Late+r.GroupLag.Late > 0:
		r.Problem = "some writes were not seen in time"
	case r.Refused > 0:
		r.Problem = "some writes were refused"
	default:
		r.Converged = true
	}
	return r
}
