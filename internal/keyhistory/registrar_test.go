package keyhistory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/registrar"
)

// someAgent wants a key, and then perhaps another one.
type someAgent struct {
	*site
	agent, name, address string
	shared               bool // others have the name, too
	entries              []Entry
}

// attempt asks one node once, and says whether the agent has a key.
func (a *someAgent) attempt() (has, final bool) {
	at := a.below(3)
	node := []string{"m", "w1", "w2"}[at]
	r := a.Ask(Registration{Agent: a.agent, Node: node, Name: a.name, Address: a.address})
	request := enrolment.Request{Name: a.name, Address: a.address}
	var reg *registrar.Registration
	var err error
	lost := false
	if at == 0 {
		lost = a.use(func(p *process) { reg, err = p.Register(p.life, request, "test") })
	} else {
		reg, err = a.workers[at-1].Register(a.t.Context(), request, "test")
	}
	switch refusal, is := errors.AsType[*enrolment.Refusal](err); {
	case lost:
		a.Answer(r, "")
		return false, false
	case is:
		a.Answer(r, "ERROR: "+refusal.Text)
		return false, r.Outcome == Refused && a.shared
	case err != nil:
		a.t.Error(err)
	}
	return a.handOver(r, reg)
}

// handOver brings the answer to the agent, or not.
func (a *someAgent) handOver(r *Registration, reg *registrar.Registration) (has, final bool) {
	a.nap(50 * time.Millisecond)
	fate := a.below(100)
	switch atMaster := r.Node == "m"; {
	case fate < 7: // it could not be sent
		a.Answer(r, "")
		reg.Lost(a.t.Context())
		return false, false
	case fate < 14 && atMaster: // sent into the void
		a.Answer(r, "")
		r.Broken = true
		return false, true
	case fate < 14: // the worker died
		defer a.Disturb(r.Node)()
		a.Answer(r, "")
		return false, false
	case fate < 17: // the node died right after it
		defer a.Disturb(r.Node)()
		a.Answer(r, string(reg.Answer()))
	default:
		a.Answer(r, string(reg.Answer()))
		reg.Delivered()
	}
	a.entries = append(a.entries, r.Entry)
	return true, true
}

// live tries until it has a key, and then, perhaps, is removed and comes again.
func (a *someAgent) live() {
	a.nap(5 * time.Second)
	for {
		has, final := a.attempt()
		for tries := 1; !has && !final; tries++ {
			if tries > 40 {
				a.t.Errorf("%s does not get a key", a.agent)
				return
			}
			a.nap(4 * time.Second)
			has, final = a.attempt()
		}
		if !has || a.in(50) {
			return
		}
		a.nap(5 * time.Second)
		a.removeOne(a.entries[len(a.entries)-1].ID)
	}
}

// removeOne removes an agent by the socket of the master.
func (s *site) removeOne(id string) {
	purge := s.in(30)
	r := s.Remove(id, purge)
	data, err := s.answer(enrolment.Message{Function: enrolment.FunctionRemove, Arguments: enrolment.Arguments{ID: id, Purge: purge}}.JSON())
	answer, bad := enrolment.ParseAnswer(data)
	switch {
	case err != nil:
		s.Removed(r, Unknown)
	case bad != nil:
		s.t.Errorf("%s: %v", data, bad)
	case answer.Refusal == nil:
		s.Removed(r, Done)
	case answer.Refusal.Code == enrolment.CodeUnknownID:
		s.Removed(r, Refused)
	default:
		s.Removed(r, Unknown)
	}
}

// force puts an agent into the place of another by the socket of the master.
func (s *site) force(name string) {
	s.nap(10 * time.Second)
	always := enrolment.Force{Enabled: true}
	r := s.Ask(Registration{Agent: "administrator", Node: "m", Name: name, Forced: true})
	data, err := s.answer(enrolment.Message{
		Function: enrolment.FunctionAdd, Arguments: enrolment.Arguments{Name: name, IP: "any", Force: &always},
	}.JSON())
	answer, bad := enrolment.ParseAnswer(data)
	switch {
	case err != nil || bad != nil || answer.Refusal != nil && answer.Refusal.Code == enrolment.CodeInternal:
		s.AnswerAs(r, Unknown, Entry{}, "")
	case answer.Refusal != nil:
		s.AnswerAs(r, Refused, Entry{}, answer.Refusal.Text)
	default:
		s.AnswerAs(r, Done, Entry{answer.ID, answer.Name, answer.IP, answer.Key.Reveal()}, "")
	}
}

// happen lets everything happen at once and waits for its end.
func (s *site) happen() (restarted bool) {
	var all sync.WaitGroup
	for i := range 2 + s.below(6) {
		a := &someAgent{site: s, agent: fmt.Sprintf("a%d", i), name: fmt.Sprintf("name%d", i), address: "any", shared: i < 2}
		if s.in(20) {
			a.name, a.shared = "shared", true
		}
		if s.in(20) {
			a.address, a.shared = fmt.Sprintf("10.0.0.%d", s.below(3)), true
		}
		all.Go(a.live)
	}
	for range s.below(3) {
		name := []string{"shared", "name0", "name1"}[s.below(3)]
		all.Go(func() { s.force(name) })
	}
	if restarted = s.in(40); restarted {
		all.Go(func() {
			for range 1 + s.below(3) {
				s.nap(8 * time.Second)
				s.restart(s.in(70))
			}
		})
	}
	all.Wait()
	return restarted
}

// oneHistory is one, from a seed, and what is found about it.
func oneHistory(t *testing.T, seed uint64) (Counts, []Finding) {
	s := newSite(t, seed)
	restarted := s.happen()
	s.rows.failing.Store(0)
	if !restarted { // a node brings its database in line with its keys after a start
		time.Sleep(time.Minute) //nolint:forbidigo // time stands still here
	}
	for _, w := range s.workers {
		w.end()
		w.runs.Wait()
	}
	s.stop(false)
	keys, err := os.ReadFile(filepath.Join(s.dir, "etc/client.keys"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	final := Final{Node: "m", Keys: keys}
	if !restarted {
		final.Rows = s.rows.entries()
	}
	return s.Count(), s.Check(final)
}

// Thousands of histories of the registrars of a master and two workers over one
// key store: answers that are lost, ways that are cut, databases that are away,
// masters that end and die. TESTUDO_HISTORIES says how many.
func TestRegistrars(t *testing.T) {
	histories := 100
	if testing.Short() {
		histories = 20
	}
	if text := os.Getenv("TESTUDO_HISTORIES"); text != "" {
		if _, err := fmt.Sscan(text, &histories); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	var sum Counts
	for i := range histories {
		seed := seed + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			counts, findings := oneHistory(t, seed)
			for _, f := range findings {
				t.Error(f)
			}
			sum.add(counts)
		})
		if t.Failed() {
			t.Fatalf("in history %d", i)
		}
	}
	t.Logf("%d histories: %+v", histories, sum)
}

func (c *Counts) add(o Counts) {
	c.Done, c.Refused, c.Unknown = c.Done+o.Done, c.Refused+o.Refused, c.Unknown+o.Unknown
	c.Removals, c.Disturbances = c.Removals+o.Removals, c.Disturbances+o.Disturbances
}
