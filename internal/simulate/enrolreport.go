package simulate

import (
	"fmt"

	"testudo/internal/agent"
)

// EnrolReport is what became of agents that asked for keys. Times are in seconds,
// latencies in milliseconds: from when an agent should have begun until it had
// its key, however often it asked.
type EnrolReport struct {
	Mark     string         `json:"mark"` // in the names of these agents
	Asked    float64        `json:"asked_per_s"`
	Achieved float64        `json:"achieved_per_s"` // keys
	Seconds  float64        `json:"run_s"`
	Agents   int            `json:"agents"` // that began
	Enrolled int            `json:"enrolled"`
	GaveUp   int            `json:"gave_up"`
	Late     float64        `json:"late_ms"` // that the latest agent began after its time, as all clients were busy
	Twice    int            `json:"ids_given_twice"`
	Latency  Latency        `json:"latency_ms"`
	Servers  []ServerReport `json:"servers"`
	Failures map[string]int `json:"failures"` // tries without a key, by what the server or the network said
	Homes    []HomeReport   `json:"homes,omitempty"`
	Problem  string         `json:"problem,omitempty"`
}

// ServerReport is one server's part.
type ServerReport struct {
	Server   string  `json:"server"`
	Enrolled int     `json:"enrolled"`
	Failures int     `json:"failures"`
	Latency  Latency `json:"latency_ms"`
}

// HomeReport is whether the keys of a run are in a node's home.
type HomeReport struct {
	Home    string  `json:"home"`
	Have    int     `json:"have"`
	Missing int     `json:"missing"`
	Other   int     `json:"other"`   // entries with another name or key
	Seconds float64 `json:"since_s"` // from the end of the run until the last was seen there
}

// Report tells what was found so far.
func (e *Enrolment) Report() EnrolReport {
	t := &e.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	r := EnrolReport{
		Mark: e.o.Mark, Asked: e.o.Rate, Seconds: seconds(t.elapsed), Agents: t.begun, Enrolled: len(t.keys), GaveUp: t.givenUp,
		Late: float64(t.late.Milliseconds()), Latency: latencyOf(t.took), Failures: t.outcomes, Homes: t.homes,
		Servers: make([]ServerReport, 0, len(t.servers)),
	}
	if t.elapsed > 0 {
		r.Achieved = float64(len(t.keys)) / t.elapsed.Seconds()
	}
	for i, s := range t.servers {
		r.Servers = append(r.Servers, ServerReport{e.o.Servers[i], s.keys, s.failures, latencyOf(s.took)})
	}
	r.Twice = twice(t.keys)
	r.Problem = r.problem()
	return r
}

// twice counts the ids that more than one agent was given.
func twice(keys []agent.Key) int {
	given := make(map[agent.ID]int, len(keys))
	count := 0
	for _, k := range keys {
		if given[k.ID]++; given[k.ID] == 2 {
			count++
		}
	}
	return count
}

func (r *EnrolReport) problem() string {
	missing, other := 0, 0
	for _, h := range r.Homes {
		missing, other = missing+h.Missing, other+h.Other
	}
	switch {
	case r.Twice > 0:
		return fmt.Sprintf("%d ids were given twice", r.Twice)
	case missing+other > 0:
		return fmt.Sprintf("%d keys are missing in the homes, %d are others", missing, other)
	case r.GaveUp > 0:
		return fmt.Sprintf("%d of %d agents got no key", r.GaveUp, r.Agents)
	case r.Enrolled == 0:
		return "no agent began"
	}
	return ""
}
