package why

import (
	"fmt"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/logging"
)

// Enrolment is how a worker's questions for agents' keys go: sendsync.Watch.
type Enrolment interface {
	Trouble() (chunks.Trouble, bool)
}

// NoKeys says in words why agents that ask a worker for a key get none, since when,
// and what to do; text is empty when they get theirs, as far as this node knows.
func NoKeys(link Link, e Enrolment) (text string, since time.Time, remedy string) {
	connected := link.Connected()
	if connected.IsZero() {
		t, _ := link.Trouble()
		return "Agents that ask this node for a key get none: only the master gives out keys, and this worker has no master.", t.Since,
			"Bring the way to the master back; meanwhile agents can enrol at the master itself, and at workers that have it."
	}
	t, failed := e.Trouble()
	if !failed || t.Last.Before(connected) { // what a master did before it was started again says nothing of it now
		return "", time.Time{}, ""
	}
	return fmt.Sprintf("Agents that ask this node for a key get none: the master's enrolment did not answer %s, last at %s: %s.",
			times(t.Failures), t.Last.UTC().Format(time.DateTime+" MST"), logging.Quote(t.Text)), t.Since,
		"See on the master whether enrolment runs: 'testudo doctor' there, or its wazuh-authd where that is the original's."
}

// enrolment adds that agents cannot enrol here.
func (w *Worker) enrolment(r *Report) {
	if w.cfg.Enrolment == nil {
		return
	}
	if text, since, remedy := NoKeys(w.cfg.Link(), w.cfg.Enrolment); text != "" {
		r.add(Finding{Severity: Warning, Text: text, Since: when(since), Remedy: remedy})
	}
}
