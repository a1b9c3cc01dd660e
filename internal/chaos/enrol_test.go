package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/fleet"
	"testudo/internal/keyhistory"
)

// authSocket is where local programs ask for keys.
const authSocket = "queue/sockets/auth"

// enrolling is a fleet at which agents enrol while it has a hard time.
type enrolling struct {
	t    *testing.T
	f    *fleet.Fleet
	h    *keyhistory.History
	ways map[string]*way // of the workers, by name

	mu     sync.Mutex
	chance *rand.Rand
	done   []keyhistory.Entry // that clients were told of
	fresh  int                // number of the next agent
}

func (e *enrolling) below(n int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.chance.IntN(n)
}

// nap waits for a random time, and says whether the time is not over.
func (e *enrolling) nap(ctx context.Context, most time.Duration) bool {
	select {
	case <-time.After(time.Duration(e.below(int(most)))):
		return true
	case <-ctx.Done():
		return false
	}
}

func newEnrolling(t *testing.T, workers int, seed uint64) *enrolling {
	e := &enrolling{
		t: t, ways: map[string]*way{}, chance: rand.New(rand.NewPCG(seed, 9)),
	}
	e.h = &keyhistory.History{Master: "master", KeepsRemoved: e.below(2) == 0, Grace: 2 * time.Second}
	e.f = started(t, fleet.Options{Workers: workers, Prepare: func(n *fleet.Node) error {
		if n.Role == "master" {
			if e.h.KeepsRemoved {
				return keepRemoved(n)
			}
			return nil
		}
		e.ways[n.Name] = newWay(t)
		return e.ways[n.Name].lead(n)
	}})
	return e
}

// keepRemoved makes a master's home keep lines of removed agents.
func keepRemoved(n *fleet.Node) error {
	path := filepath.Join(n.Home, "etc/ossec.conf")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := strings.Replace(string(content), "<purge>yes</purge>", "<purge>no</purge>", 1)
	if changed == string(content) {
		return fmt.Errorf("%s does not say that removed agents are purged", path)
	}
	return os.WriteFile(path, []byte(changed), 0o640)
}

func enrolAddress(n *fleet.Node) string { return fmt.Sprintf("127.0.0.1:%d", n.EnrolPort) }

func (e *enrolling) node() *fleet.Node { return e.f.Nodes()[e.below(len(e.f.Nodes()))] }

// attempt has an agent ask a node once.
func (e *enrolling) attempt(ctx context.Context, r keyhistory.Registration) *keyhistory.Registration {
	n := e.node()
	r.Node = n.Name
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return e.tell(e.h.Enrol(ctx, enrolAddress(n), r))
}

// tell keeps in mind whom there is to be removed.
func (e *enrolling) tell(r *keyhistory.Registration) *keyhistory.Registration {
	if r.Outcome == keyhistory.Done {
		e.mu.Lock()
		e.done = append(e.done, r.Entry)
		e.mu.Unlock()
	}
	return r
}

// next is the next agent: most have a name of their own, some one that others
// want as well, some an address that others want.
func (e *enrolling) next() (r keyhistory.Registration, own bool) {
	kind := e.below(10)
	shared, address := e.below(40), e.below(40)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fresh++
	r.Agent = fmt.Sprintf("agent-%05d", e.fresh)
	r.Name, own = r.Agent, kind > 1
	switch kind {
	case 0:
		r.Name = fmt.Sprintf("shared-%02d", shared)
	case 1:
		r.Address = fmt.Sprintf("10.1.0.%d", address)
	}
	return r, own
}

// agents enrol one after the other, until there were enough of them. One that has
// no answer comes again; nobody but the nodes may be the reason.
func (e *enrolling) agents(ctx context.Context, until func() bool) {
	for !until() && ctx.Err() == nil {
		agent, own := e.next()
		for {
			r := e.attempt(ctx, agent)
			if r.Outcome == keyhistory.Done || r.Outcome == keyhistory.Refused && !own {
				break
			}
			if r.Outcome == keyhistory.Refused && r.Text != "" {
				e.t.Errorf("%s: %s", agent.Name, r.Text) // Check says more
				return
			}
			if !e.nap(ctx, 300*time.Millisecond) {
				e.t.Errorf("%s has no key in the end", agent.Name)
				return
			}
		}
	}
}

// administrate removes agents, and puts others into their places, at the master.
func (e *enrolling) administrate(ctx context.Context) {
	socket := filepath.Join(e.f.Master().Home, authSocket)
	for e.nap(ctx, 60*time.Millisecond) {
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		switch kind := e.below(10); {
		case kind < 6:
			if id := e.someID(); id != "" {
				e.h.RemoveAt(once, socket, id, kind < 3)
			}
		default:
			r := keyhistory.Registration{Agent: "administrator", Node: "master", Name: fmt.Sprintf("shared-%02d", e.below(40))}
			if kind == 9 {
				r.Address = fmt.Sprintf("10.1.0.%d", e.below(40))
			}
			e.tell(e.h.AddAt(once, socket, r))
		}
		cancel()
	}
}

func (e *enrolling) someID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.done) == 0 {
		return ""
	}
	return e.done[e.chance.IntN(len(e.done))].ID
}

// harm kills some nodes and cuts their ways until ctx ends.
func (e *enrolling) harm(ctx context.Context, most time.Duration, nodes []*fleet.Node) (kills, cuts int) {
	for e.nap(ctx, most) {
		n := nodes[e.below(len(nodes))]
		way := e.ways[n.Name]
		over := e.h.Disturb(n.Name)
		switch what := e.below(4); {
		case way != nil && what == 0:
			way.cut(true)
			e.nap(ctx, 500*time.Millisecond)
			way.cut(false)
			cuts++
		case way != nil && what == 1:
			way.hold(true)
			e.nap(ctx, 3*time.Second)
			way.cut(false)
			way.hold(false)
			cuts++
		default:
			e.kill(n)
			kills++
		}
		over()
	}
	return kills, cuts
}

// kill ends a node at once and starts it again, mostly; some are asked to end.
func (e *enrolling) kill(n *fleet.Node) {
	var err error
	if e.below(5) == 0 {
		err = n.Stop(within(e.t, 20*time.Second))
	} else {
		err = n.Kill()
	}
	if err != nil {
		e.t.Errorf("%v; its log ends:\n%s", err, tail(n, 5))
		return
	}
	if err := n.Start(); err != nil {
		e.t.Error(err)
		return
	}
	if err := n.WaitReady(within(e.t, time.Minute)); err != nil && n.Role == "master" {
		e.t.Errorf("%v; its log ends:\n%s", err, tail(n, 5))
	}
}

// Agents enrol at all nodes, and are removed and replaced at the master, while
// masters and workers are killed and ways are cut. No id is given twice, no key
// that was answered is lost, nobody is shut out; in the end all nodes have the
// same keys, and their databases the same agents.
func TestEnrolment_History(t *testing.T) {
	t.Parallel() // much of the time they wait for a node
	span, clients := 25*time.Second, 24
	if testing.Short() {
		span, clients = 6*time.Second, 12
	}
	e := newEnrolling(t, 2, seedOf(t))
	all, stopAll := context.WithTimeout(t.Context(), span+2*time.Minute)
	defer stopAll()
	harmful, endHarm := context.WithTimeout(all, span)
	defer endHarm()
	var enrolling, others sync.WaitGroup
	for range clients {
		enrolling.Go(func() { e.agents(all, func() bool { return harmful.Err() != nil }) })
	}
	for range 2 {
		others.Go(func() { e.administrate(harmful) })
	}
	var masters int
	others.Go(func() { masters, _ = e.harm(harmful, 5*time.Second, e.f.Nodes()[:1]) })
	kills, cuts := e.harm(harmful, time.Second, e.f.Workers())
	others.Wait()
	enrolling.Wait()
	e.sees(e.verdict())
	c := e.h.Count()
	t.Logf("lines of removed agents stay: %t; %d kills of the master, %d of workers, %d cuts: %d registrations answered, %d refused, %d without answer, %d removals",
		e.h.KeepsRemoved, masters, kills, cuts, c.Done, c.Refused, c.Unknown, c.Removals)
	verify(t, e.f)
}

// While agents enrol without a pause, other nodes learn of their keys all the same.
func TestEnrolment_KeysSpreadMeanwhile(t *testing.T) {
	t.Parallel()
	e := newEnrolling(t, 2, 1)
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	ctx, stop := context.WithCancel(within(t, 2*time.Minute))
	defer stop()
	asking, end := context.WithCancel(ctx)
	var enrolling sync.WaitGroup
	for range 4 {
		enrolling.Go(func() { e.agents(ctx, func() bool { return asking.Err() != nil }) })
	}
	for round := range rounds {
		name := fmt.Sprintf("watched-%d", round)
		r := e.h.Enrol(ctx, enrolAddress(e.f.Nodes()[round%3]), keyhistory.Registration{Agent: name, Node: e.f.Nodes()[round%3].Name, Name: name})
		if r.Outcome != keyhistory.Done {
			t.Errorf("%s: %s", name, r.Text)
			break
		}
		for _, w := range e.f.Workers() {
			eventually(t, 30*time.Second, func() string {
				f, err := final(ctx, w)
				if err != nil {
					return err.Error()
				}
				if !strings.Contains(string(f.Keys), r.Entry.Key) {
					return w.Name + " does not know " + name
				}
				return ""
			})
		}
	}
	before := e.h.Count().Done
	end()
	enrolling.Wait()
	t.Logf("%d agents enrolled meanwhile", before)
	e.verdict()
	verify(t, e.f)
}
