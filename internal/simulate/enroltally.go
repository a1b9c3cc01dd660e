package simulate

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
)

const (
	// maxOutcomes bounds the texts that are told apart; the others are counted
	// together.
	maxOutcomes = 64
	otherText   = "(other texts)"
	// outcomeBytes bounds one text.
	outcomeBytes = 200
)

// enrolTally counts what became of the agents.
type enrolTally struct {
	mu       sync.Mutex
	begun    int
	open     int
	givenUp  int
	late     time.Duration // the latest beginning
	failures int
	took     []time.Duration
	servers  []serverTally
	outcomes map[string]int
	keys     []agent.Key
	elapsed  time.Duration
	homes    []HomeReport
}

type serverTally struct {
	keys, failures int
	took           []time.Duration
}

func (t *enrolTally) init(o EnrolOptions) {
	t.outcomes = map[string]int{}
	t.servers = make([]serverTally, len(o.Servers))
}

func (t *enrolTally) begin(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
	t.open++
	t.late = max(t.late, late)
}

func (t *enrolTally) enrolled(server int, took time.Duration, key agent.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.took = append(t.took, took)
	t.keys = append(t.keys, key)
	s := &t.servers[server]
	s.keys++
	s.took = append(s.took, took)
}

func (t *enrolTally) failed(server int, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures++
	t.servers[server].failures++
	if _, known := t.outcomes[text]; !known && len(t.outcomes) >= maxOutcomes {
		text = otherText
	}
	t.outcomes[text]++
}

func (t *enrolTally) gaveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.givenUp++
}

func (t *enrolTally) ended(elapsed time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.elapsed = elapsed
}

func (t *enrolTally) status(elapsed time.Duration) EnrolStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return EnrolStatus{
		Elapsed: elapsed, Begun: t.begun, Enrolled: len(t.keys), Failed: t.failures, Open: t.open, Latency: latencyOf(t.took),
	}
}

// Latency sums up how long something took, in milliseconds.
type Latency struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Max     float64 `json:"max"`
}

func latencyOf(took []time.Duration) Latency {
	l := Latency{Samples: len(took)}
	if l.Samples == 0 {
		return l
	}
	sorted := slices.Sorted(slices.Values(took))
	at := func(q float64) float64 {
		d := sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
		return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
	}
	l.P50, l.P90, l.P99, l.P999, l.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	return l
}

// outcomeOf is the text under which a failure is counted: without what differs
// from agent to agent.
func outcomeOf(err error, name string) string {
	text := oneText(err)
	text = strings.ReplaceAll(text, name, "NAME")
	if len(text) > outcomeBytes {
		text = text[:outcomeBytes]
	}
	return strings.ToValidUTF8(text, "?")
}

func oneText(err error) string {
	if refused, ok := errors.AsType[*enrolport.RefusedError](err); ok {
		return enrolment.ErrorPrefix + refused.Reason()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil && !op.Timeout() { // with the ports of this one connection
		return op.Op + ": " + op.Err.Error()
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
