package why

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/health"
	"testudo/internal/nodeinfo"
	"testudo/internal/pairtest"
)

// link is a worker's way to its master.
type link struct {
	connected time.Time
	trouble   cluster.Trouble
}

func (l link) Connected() time.Time             { return l.connected }
func (l link) Trouble() (cluster.Trouble, bool) { return l.trouble, l.trouble.Times > 0 }

func worker(l link, inStep bool, board *health.Board) *Worker {
	return NewWorker(WorkerConfig{
		Name: "w1", Link: func() Link { return l }, InStep: func() bool { return inStep }, Board: board, Started: began,
		Health: func(context.Context) (nodeinfo.Health, error) {
			return nodeinfo.Health{Nodes: []nodeinfo.NodeHealth{{Node: nodeinfo.Node{Name: "m"}}}}, nil
		},
	})
}

// enrolment is how a worker's questions for keys go.
type enrolment chunks.Trouble

func (e enrolment) Trouble() (chunks.Trouble, bool) { return chunks.Trouble(e), e.Failures > 0 }

// A worker says when agents that ask it for a key get none.
func TestWorker_Enrolment(t *testing.T) {
	cut := link{trouble: cluster.Trouble{Master: "192.0.2.1:1516", Since: began, Last: began, Times: 2, Text: "no answer in time"}}
	failing := enrolment{Since: began, Last: began, Failures: 3, Text: "nobody answers at queue/sockets/auth"}
	for name, c := range map[string]struct {
		link  link
		keys  Enrolment
		state State
		want  string
	}{
		"all is well":        {link{connected: began}, enrolment{}, Well, ""},
		"no master":          {cut, enrolment{}, Gone, "this worker has no master"},
		"no master at first": {link{}, enrolment{}, Gone, "this worker has no master"},
		"master without":     {link{connected: began}, failing, Behind, "did not answer 3 times, last at " + began.UTC().Format(time.DateTime) + " UTC: nobody answers at queue/sockets/auth."},
		"master is back":     {link{connected: began.Add(time.Second)}, failing, Well, ""},
		"no enrolment here":  {cut, nil, Gone, ""},
	} {
		w := worker(c.link, true, nil)
		w.cfg.Enrolment = c.keys
		r := w.Report()
		found := finding{Warning, "Agents that ask this node for a key get none", 0, "", ""}.in(r)
		if r.State != c.state || found != (c.want != "") || found && !(finding{Warning, c.want, 0, "", " "}).in(r) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestWorker_Report(t *testing.T) {
	trouble := cluster.Trouble{Master: "192.0.2.1:1516", Since: began, Last: began, Times: 2, Text: "the master refuses this worker", Hint: "Do this.", Fault: fault.New(fault.WrongVersion, nil)}
	without := trouble
	without.Hint = ""
	for name, c := range map[string]struct {
		w     *Worker
		state State
		want  finding
	}{
		"well":            {worker(link{connected: began}, true, nil), Well, finding{Note, "connected to its master", 0, "", ""}},
		"not yet in step": {worker(link{connected: began}, false, nil), Behind, finding{Warning, "not been the master's", 0, "", ""}},
		"refused":         {worker(link{trouble: trouble}, true, nil), Gone, finding{Critical, "at 192.0.2.1:1516, tried twice", fault.WrongVersion, "next try", "Do this."}},
		"without a hint":  {worker(link{trouble: without}, true, nil), Gone, finding{Critical, "refuses", fault.WrongVersion, "", "same version"}},
		"just started":    {worker(link{}, false, nil), Gone, finding{Warning, "not reached its master yet", 0, "first try", ""}},
	} {
		if r := c.w.Report(); r.State != c.state || !c.want.in(r) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	board := health.New()
	board.Raise("files-not-applied", health.Warning, "disk full", "make room")
	if r := worker(link{connected: began}, true, board).Report(); r.State != Behind || !(finding{Warning, "disk full", 0, "", "Make room."}).in(r) {
		t.Errorf("%+v", r)
	}
}

func ask(t *testing.T, w *Worker, name string) []Report {
	t.Helper()
	text, err := w.Ask(t.Context(), []byte(name))
	if err != nil {
		t.Fatal(err)
	}
	reports, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

func TestWorker_AsksItsMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		world := good()
		world.members[0].Connected, world.members[0].LastKeepAlive = began, began
		w := worker(link{connected: began}, true, nil)
		_, _, stop := pairtest.Connect(t, "w1", false, pairtest.Of(world.master().Offer), pairtest.Of(w.Offer))
		synctest.Wait()
		if r := ask(t, w, "w1"); len(r) != 2 || r[0].ToldBy != "w1" || r[1].ToldBy != "m" {
			t.Errorf("of itself: %+v", r)
		}
		if r := ask(t, w, "w9"); len(r) != 1 || r[0].ToldBy != "m" || r[0].State != Unknown {
			t.Errorf("of another: %+v", r)
		}
		if r := ask(t, w, ""); len(r) != 3 {
			t.Errorf("of all: %+v", r)
		}
		stop()
		if r := ask(t, w, "w9"); len(r) != 1 || r[0].ToldBy != "w1" || r[0].State != Unknown {
			t.Errorf("without a master: %+v", r)
		}
		if r := ask(t, w, "w1"); len(r) != 1 || r[0].ToldBy != "w1" {
			t.Errorf("of itself without a master: %+v", r)
		}
	})
}

// A master of 4.7.5, or an older Testudo, does not know the command; what it
// tells of health must do.
func TestWorker_OfAnOriginalMaster(t *testing.T) {
	for _, plain := range []bool{true, false} {
		t.Run(fmt.Sprint("plain ", plain), func(t *testing.T) { ofOriginal(t, plain) })
	}
}

func ofOriginal(t *testing.T, plain bool) {
	synctest.Test(t, func(t *testing.T) {
		w := worker(link{connected: time.Now()}, true, nil)
		pairtest.Connect(t, "w1", plain, func(*pairtest.End) {}, pairtest.Of(w.Offer))
		synctest.Wait()
		if r := ask(t, w, "m"); len(r) != 1 || r[0].State != Well || r[0].ToldBy != "m" {
			t.Errorf("%+v", r)
		}
		if r := ask(t, w, "w9"); len(r) != 1 || r[0].State != Gone || len(r[0].Known) != 1 {
			t.Errorf("%+v", r)
		}
		w.cfg.Health = func(context.Context) (nodeinfo.Health, error) { return nodeinfo.Health{}, errors.New("stuck") }
		if r := ask(t, w, "w9"); len(r) != 1 || r[0].State != Unknown || !(finding{Critical, "Stuck.", 0, "", ""}).in(r[0]) && len(r[0].Findings) != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestFromHealth(t *testing.T) {
	now := time.Now()
	h := nodeinfo.Health{Nodes: []nodeinfo.NodeHealth{
		{Node: nodeinfo.Node{Name: "w1", Address: "192.0.2.2"}, Status: &nodeinfo.Status{IntegrityFree: true, LastKeepAlive: now, Check: nodeinfo.Span{Started: now, Ended: now}}},
		{Node: nodeinfo.Node{Name: "w2"}, Status: &nodeinfo.Status{LastKeepAlive: now.Add(-lateKeepAlive - time.Second)}},
		{Node: nodeinfo.Node{Name: "w3"}, Status: &nodeinfo.Status{LastKeepAlive: now, Check: nodeinfo.Span{Started: now, Ended: now}}},
		{Node: nodeinfo.Node{Name: "m"}},
	}}
	all := FromHealth("", h, now)
	if len(all) != 4 || all[0].State != Well || all[1].State != Behind || all[3].State != Well {
		t.Errorf("%+v", all)
	}
	if !(finding{Warning, "no keep-alive", 0, "", ""}).in(all[1]) || !(finding{Warning, "not been compared", 0, "", ""}).in(all[1]) ||
		!(finding{Note, "under way", 0, "", ""}).in(all[2]) || !(finding{Note, "were compared", 0, "", ""}).in(all[0]) {
		t.Errorf("%+v", all)
	}
}
