package interop

import (
	"fmt"
	"sync"
	"testing"

	"testudo/internal/keyhistory"
)

// Agents of both makers enrol at the nodes of both.

// enrolling is a plan with enrolment at all nodes.
func enrolling(p plan) plan {
	p.enrols = true
	return p
}

// Agents of both makers enrol at masters and workers of both, under masters of
// both; with theirs the original's own server works beside the node, which takes
// what it asks its master through the cluster.
func TestEnrolment(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		s := newSignUp(newCluster(t, p))
		number := 0
		var some []keyhistory.Entry
		for _, n := range s.nodes() {
			s.refusesAll(n)
			for _, e := range enrolees() {
				number++
				s.visit(e, n, number)
				some = append(some, s.accepted(e, n, wish{name: fmt.Sprintf("some-%d", number)}))
			}
		}
		for i, n := range []int{0, 2, 4} { // of each node one is removed, one replaced
			s.administrate(some[n], some[n+1])
			s.accepted(enrolees()[i%2], s.nodes()[i], wish{name: some[n].Name})
		}
		s.verdict()
		s.checkGroups(s.master)
		s.verify()
	}, enrolling(mixedUnder(ours)), enrolling(mixedUnder(theirs)), enrolling(inInstallations(ours)), enrolling(inInstallations(theirs)))
}

// Many agents enrol at once at all nodes. The original's server takes one after
// the other.
func TestEnrolment_ManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		s := newSignUp(newCluster(t, p))
		s.atOnce = true
		const atOnce, each = 15, 4
		var all sync.WaitGroup
		for _, n := range s.nodes() {
			for i := range atOnce {
				all.Go(func() {
					for j := range each {
						s.accepted(enrolees()[0], n, wish{name: fmt.Sprintf("%s-%02d-%d", n.name, i, j)})
					}
				})
			}
		}
		all.Wait()
		s.verdict()
		s.verify()
	}, enrolling(mixedUnder(ours)), enrolling(mixedUnder(theirs)))
}

// The original's server on a master ends and comes back: a worker of either maker
// tries for a while, and its agents get their keys.
func TestEnrolment_ServerAway(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		s := newSignUp(newCluster(t, p))
		s.explain(
			explanation{"our worker", `\[Enrolment\] The master (does not answer a registration|answers registrations again)`, "the server is away"},
			explanation{"", `\[Master\] \[SendSync\] Error in SendSync \(parameters`, "the server is away"},
		)
		s.master.stopAuthd()
		var waiting sync.WaitGroup
		for _, w := range s.workers {
			waiting.Go(func() { s.accepted(enrolees()[0], w, wish{name: "patient-" + w.name}) })
		}
		for range 40 { // two seconds
			pause()
		}
		s.master.startAuthd()
		waiting.Wait()
		s.verdict()
		s.verify()
	}, enrolling(mixedUnder(theirs)))
}
