package interop

import "testing"

const (
	keepAlives = `INFO: \[Worker [^\]]+\] \[Keep Alive\] Successful response from master: keepalive`
	groupsSent = `INFO: \[Worker w1\] \[Agent-groups send\] Finished in \d+\.\d{3}s\. Updated 1 chunks\.`
)

// Nodes that have nothing to do stay together, quietly: keep-alives, agents'
// data, round after round.
func TestLongLife(t *testing.T) {
	eachAlone(t, func(t *testing.T, p plan) {
		c := newCluster(t, p, func(s map[string]string) {
			s["intervals.worker.keep_alive"] = "1"
			s["intervals.master.check_worker_lastkeepalive"] = "1"
			s["intervals.master.max_allowed_time_without_keepalive"] = "4"
		})
		c.start()
		c.waitInStep()
		for _, w := range c.workers {
			w.waitFor(9, keepAlives)
			if again := w.count(connected); again != 1 {
				t.Errorf("%s has connected %d times", w, again)
			}
		}
		if c.master.maker == theirs {
			c.master.waitFor(2, groupsSent) // the checksum, to our worker
		}
		c.master.write(rules, "<group name=\"late\"/>\n")
		c.verify()
	}, mixedUnder(theirs), mixedUnder(ours))
}
