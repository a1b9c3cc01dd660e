package why

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/chunks"
	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/health"
	"testudo/internal/integrity"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a master's parts say.
type world struct {
	members   []cluster.Member
	absent    []cluster.Departure
	refusals  []cluster.Refusal
	strangers []cluster.Stranger
	files     integrity.Trouble
	status    integrity.Status
	noFiles   bool
	transfers chunks.Trouble
	board     *health.Board
}

func (w *world) Members() []cluster.Member     { return w.members }
func (w *world) Absent() []cluster.Departure   { return w.absent }
func (w *world) Refusals() []cluster.Refusal   { return w.refusals }
func (w *world) Strangers() []cluster.Stranger { return w.strangers }

type filesOf struct{ *world }

func (f filesOf) Status(string) (integrity.Status, bool)   { return f.status, !f.noFiles }
func (f filesOf) Trouble(string) (integrity.Trouble, bool) { return f.files, !f.noFiles }

type transfersOf struct{ *world }

func (f transfersOf) Trouble(string) (chunks.Trouble, bool) {
	return f.transfers, f.transfers.Failures > 0
}

var began = time.Now().Add(-time.Hour)

// good is a master with one worker, w1, with which all is well.
func good() *world {
	return &world{
		members: []cluster.Member{{Name: "w1", Type: "worker", Version: "4.7.5", Address: "192.0.2.2", Connected: began, LastKeepAlive: time.Now()}},
		files:   integrity.Trouble{Ready: true, InStepSince: began}, board: health.New(),
	}
}

func (w *world) master() *Master {
	return NewMaster(MasterConfig{
		Name: "m", Registry: func() Registry { return w }, Files: filesOf{w}, Agents: transfersOf{w}, Groups: transfersOf{w},
		Board: w.board, Silence: 2 * time.Minute, Started: began,
	})
}

func refused(name string, code fault.Code) cluster.Refusal {
	return cluster.Refusal{Name: name, Address: "192.0.2.9", Cluster: "c", Version: "4.7.4", Since: began, Last: began, Times: 3, Fault: fault.New(code, nil)}
}

func left(name string) cluster.Departure {
	return cluster.Departure{Name: name, Version: "4.7.5", Address: "192.0.2.3", Connected: began, Ended: began.Add(time.Minute), Reason: "connection reset by peer"}
}

// finding is what is looked for in a report.
type finding struct {
	severity Severity
	text     string
	code     fault.Code
	waits    string
	remedy   string
}

func (want finding) in(r Report) bool {
	for _, f := range r.Findings {
		if f.Severity == want.severity && strings.Contains(f.Text, want.text) && f.Code == want.code &&
			strings.Contains(f.Waits, want.waits) && strings.Contains(f.Remedy, want.remedy) {
			return true
		}
	}
	return false
}

// reports are what a master says of the node, after a change of what is good.
var reports = []struct {
	name   string
	node   string
	change func(*world)
	state  State
	say    string
	want   []finding
}{
	{"all is well", "w1", func(*world) {}, Well, "connected and in step", []finding{
		{Note, "connected from 192.0.2.2", 0, "", ""}, {Note, "files are the master's", 0, "", ""},
	}},
	{"the master", "m", func(*world) {}, Well, "is the master and runs.", nil},
	{"the master with a condition", "m", func(w *world) { w.board.Raise("x", health.Critical, "disk full", "make room") }, Behind, "something is wrong", []finding{
		{Critical, "On this node: disk full.", 0, "", "Make room."},
	}},
	{"a worker of such a master", "w1", func(w *world) { w.board.Raise("shrink-held", health.Critical, "x", "y") }, Well, "in step", []finding{
		{Note, "shrink-held", 0, "", "'testudo ctl why m'"},
	}},
	{"silent", "w1", func(w *world) { w.members[0].LastKeepAlive = time.Now().Add(-100 * time.Second) }, Behind, "not all of it", []finding{
		{Warning, "no keep-alive", fault.RequestTimeout, "after 2m0s", "network"},
	}},
	{"never a keep-alive", "w1", func(w *world) { w.members[0].LastKeepAlive = time.Time{} }, Behind, "not all of it", []finding{
		{Warning, "no keep-alive", fault.RequestTimeout, "", ""},
	}},
	{"master not ready", "w1", func(w *world) { w.files = integrity.Trouble{} }, Behind, "", []finding{{Warning, "not read its own yet", 0, "first reading", ""}}},
	{"not compared", "w1", func(w *world) { w.files = integrity.Trouble{Ready: true} }, Behind, "", []finding{{Warning, "not been compared since it connected", 0, "next check", ""}}},
	{"behind", "w1", func(w *world) {
		w.files = integrity.Trouble{Ready: true, Compared: true, BehindSince: began, LeftCount: 5, Left: []integrity.LeftOut{{Path: "a", Reason: "too large"}, {Path: "b"}, {Path: "c"}, {Path: "d"}}}
		w.status = integrity.Status{Missing: 1, Shared: 2, Extra: 3}
	}, Behind, "not all of it", []finding{
		{Warning, "to create 1, to update 2 and to delete 3", 0, "next check", ""},
		{Warning, "5 of the files do not reach it: a (too large); b (); c (); and others.", 0, "", "testudo files --node w1"},
	}},
	{"behind, nobody knows how", "w1", func(w *world) { w.files = integrity.Trouble{Ready: true, BehindSince: began} }, Behind, "", []finding{
		{Warning, "what it lacks is not known yet", 0, "next check", ""},
	}},
	{"behind and busy", "w1", func(w *world) { w.files = integrity.Trouble{Ready: true, BehindSince: began, Busy: began} }, Behind, "", []finding{
		{Warning, "Its files are not the master's", 0, "under way since", ""},
	}},
	{"failing", "w1", func(w *world) {
		w.files.Err, w.files.Failures = fmt.Errorf("receive metadata: %w", fault.New(fault.ReceiveTimeout, nil)), 2
	}, Behind, "", []finding{{Warning, "failed twice: receive metadata: Error 3039", fault.ReceiveTimeout, "next check", "network"}}},
	{"agents", "w1", func(w *world) { w.transfers = chunks.Trouble{Failures: 1, Text: "disk I/O error"} }, Behind, "", []finding{
		{Warning, "states of its agents do not all reach this master's database: failed once, last with disk I/O error", 0, "", ""},
		{Warning, "groups of agents do not all reach its database", 0, "", ""},
	}},
	{"its name is used twice", "w1", func(w *world) { w.refusals = []cluster.Refusal{refused("w1", fault.DuplicateName)} }, Behind, "", []finding{
		{Critical, "A node of this name, at 192.0.2.9, was refused 3 times", fault.DuplicateName, "", "unique"},
	}},
	{"gone", "w2", func(w *world) { w.absent = []cluster.Departure{left("w2")} }, Gone, "not connected any more", []finding{
		{Critical, "Its session from 192.0.2.3", 0, "tries again by itself", "ctl why"},
	}},
	{"gone with another key since", "w2", func(w *world) {
		w.absent = []cluster.Departure{left("w2")}
		w.strangers = []cluster.Stranger{
			{Address: "192.0.2.3", Since: began, Last: began, Times: 9, Reason: "Error 3025", Fault: fault.New(fault.Decrypt, nil)}, {Address: "192.0.2.77"},
		}
	}, Gone, "", []finding{{Warning, "Something at 192.0.2.3 connects and is not understood (9 times", fault.Decrypt, "", "<key>"}}},
	{"gone and refused since", "w2", func(w *world) {
		w.absent, w.refusals = []cluster.Departure{left("w2")}, []cluster.Refusal{refused("w2", fault.WrongVersion)}
	}, Gone, "", []finding{{Critical, "has version 4.7.4", fault.WrongVersion, "", "same version"}}},
	{"refused", "w3", func(w *world) { w.refusals = []cluster.Refusal{refused("w3", fault.WrongCluster)} }, Refused, "is refused", []finding{
		{Critical, "belongs to cluster c", fault.WrongCluster, "", "<name>"},
	}},
	{"unknown", "w\n4", func(w *world) {
		w.strangers = []cluster.Stranger{{Address: "192.0.2.77", Times: 1, Reason: "no hello"}}
	}, Unknown, `No node called w\n4`, []finding{
		{Critical, "Nothing under this name", 0, "", "<node_name>"}, {Warning, "Something at 192.0.2.77", 0, "", ""},
	}},
}

func TestMaster_Report(t *testing.T) {
	for _, c := range reports {
		t.Run(c.name, func(t *testing.T) {
			w := good()
			c.change(w)
			text, err := w.master().Ask(t.Context(), []byte(c.node))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(text)
			if err != nil || len(got) != 1 {
				t.Fatal(len(got), err)
			}
			r := got[0]
			if r.State != c.state || !strings.Contains(r.Summary, c.say) || r.ToldBy != "m" {
				t.Errorf("%s, %q, by %s", r.State, r.Summary, r.ToldBy)
			}
			for _, want := range c.want {
				if !want.in(r) {
					t.Errorf("no finding like %+v in\n%s", want, text)
				}
			}
			for i := 1; i < len(r.Findings); i++ {
				if r.Findings[i].Severity == Critical && r.Findings[i-1].Severity != Critical {
					t.Errorf("the worst does not come first: %s", text)
				}
			}
			if (c.state == Unknown) != (len(r.Known) > 0) {
				t.Errorf("known names: %v", r.Known)
			}
		})
	}
}

func TestMaster_All(t *testing.T) {
	w := good()
	w.absent = []cluster.Departure{left("w2")}
	w.refusals = []cluster.Refusal{refused("w2", fault.WrongVersion), refused("w3", fault.WrongVersion)}
	var got []string
	for _, r := range w.master().All() {
		got = append(got, fmt.Sprint(r.Node, " ", r.State))
	}
	if strings.Join(got, ", ") != "m well, w1 well, w2 gone, w3 refused" {
		t.Error(got)
	}
	_, err := w.master().Ask(t.Context(), []byte(strings.Repeat("x", maxName+1)))
	if !fault.Has(err, fault.Unspecified) {
		t.Error(err)
	}
}

// A report names few of many strangers.
func TestMaster_ManyStrangers(t *testing.T) {
	w := good()
	for i := range 100 {
		w.strangers = append(w.strangers, cluster.Stranger{Address: fmt.Sprint("192.0.2.", i)})
	}
	if r := w.master().Report("w9"); len(r.Findings) != 1+mostStrangers {
		t.Errorf("%d findings", len(r.Findings))
	}
}

// Who asks a master how it is hears which other nodes are away; the master itself
// is well all the same.
func TestMaster_OtherNodes(t *testing.T) {
	w := good()
	if r := w.master().Report("m"); len(r.Findings) != 0 {
		t.Errorf("%+v", r)
	}
	w.absent = []cluster.Departure{left("w2"), left("w1")} // w1 is back
	w.refusals = []cluster.Refusal{refused("w2", fault.WrongVersion), refused("w3", fault.WrongVersion)}
	if r := w.master().Report("m"); r.State != Well || !(finding{Note, "not connected to it: w2 (gone), w3 (refused).", 0, "", "ctl why NAME"}).in(r) {
		t.Errorf("%+v", r)
	}
	for i := range 20 {
		w.absent = append(w.absent, left(fmt.Sprint("n", i)))
	}
	if r := w.master().Report("m"); !(finding{Note, "n8 (gone), and 12 more.", 0, "", ""}).in(r) {
		t.Errorf("%+v", r)
	}
}

// The master's answer travels over a real session; a name that is too long does
// not.
func TestOffer_RefusesLongNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 1)
		pairtest.Connect(t, "w1", true, pairtest.Of(good().master().Offer), pairtest.Of(func(s *session.Session, _ *session.Mux) func(context.Context) {
			return func(ctx context.Context) {
				_, err := s.Request(ctx, Command, []byte(strings.Repeat("x", maxName+1)))
				got <- err
			}
		}))
		if err := <-got; !fault.Has(err, fault.Unspecified) {
			t.Error(err)
		}
	})
}
