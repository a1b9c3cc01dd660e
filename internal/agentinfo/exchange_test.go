package agentinfo

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

func TestExchange_AllAgentsReachTheMaster(t *testing.T) {
	for _, plain := range []bool{true, false} {
		t.Run(name(plain), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src, dst := newSource(1234), newSink()
				m := NewMaster(MasterConfig{}, dst)
				w := NewWorker(WorkerConfig{Node: "w1", Agents: 500, Bytes: 2000}, src)
				master, worker, _ := pairtest.Connect(t, "w1", plain, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
				pairtest.Quiet(9 * time.Second)
				dst.has(t, src)
				if src.left() != 0 || src.reported != 1 || len(src.read) != 3 {
					t.Errorf("%d agents left, all reported %d times, read %v", src.left(), src.reported, src.read)
				}
				worker.Log.Want(t, "msg=Starting.", "Obtained 50 chunks of data in 0.000s.", "Sending chunks.", "Updated 124 chunks.")
				master.Log.Want(t, "chunks updated in wazuh-db in 0.000s.")
				if n := worker.Log.Count("Permission to synchronize granted."); plain != (n > 15) || n < 1 {
					t.Errorf("permission was asked for %d times", n)
				}
				st, ok := m.Status("w1")
				if own := w.Status(); !ok || !st.Free || st.Chunks == 0 || st.Ended.IsZero() || !own.Free || own.Chunks != 124 {
					t.Errorf("master %+v, worker %+v", st, own)
				}
				src.set(state{ID: 7, Alive: 2})
				pairtest.Quiet(10 * time.Second)
				dst.has(t, src)
				pairtest.Quiet(20 * time.Second)
				worker.Log.Want(t, "Updated 1 chunks.", "Updated 0 chunks.")
			})
		})
	}
}

// A database that does not let all agents be marked keeps no change back.
func TestExchange_AllAreNotMarked(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(3), newSink()
		src.refuses = fault.New(fault.DatabaseRefused, "no statements that write")
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		_, worker, _ := pairtest.Connect(t, "w1", false, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(25 * time.Second)
		dst.has(t, src)
		if n := worker.Log.Count("only those that change are reported"); n != 1 || src.left() != 0 {
			t.Errorf("%d agents are still to be sent, said %d times", src.left(), n)
		}
	})
}

// A master that cannot store a chunk gets all of it again, and what it cannot
// store keeps nothing else back.
func TestExchange_PartlyStored(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(1000), newSink()
		dst.bad = func(a state) error {
			if a.ID == 5 {
				return errDisk
			}
			return nil
		}
		w := NewWorker(WorkerConfig{Node: "w1", Agents: 100}, src)
		_, worker, _ := pairtest.Connect(t, "w1", false, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(time.Second)
		worker.Log.Want(t, "Updated 9 chunks. There were 1 chunks with errors: ['Error 2003 - ", "disk I/O error", "The master has not stored all of it; all of it is sent again.")
		if src.left() != 1000 || dst.count() != 94 {
			t.Errorf("%d agents are still to be sent, %d stored", src.left(), dst.count())
		}
		pairtest.Quiet(time.Minute)
		if src.left() != 1000 || dst.count() != 994 {
			t.Errorf("%d agents are still to be sent, %d stored", src.left(), dst.count())
		}
		if worker.Log.Count("The master has not stored all of it") != 1 {
			t.Errorf("said again and again:\n%s", worker.Log)
		}
		dst.mu.Lock()
		dst.bad = nil
		dst.mu.Unlock()
		pairtest.Quiet(20 * time.Second)
		dst.has(t, src)
		if src.left() != 0 {
			t.Errorf("%d agents are still to be sent", src.left())
		}
		worker.Log.Want(t, "The master has stored all of it.")
	})
}

func TestExchange_DatabaseOfTheMasterIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(10), newSink()
		dst.bad = func(state) error { return fault.New(fault.DatabaseUnreachable, "Could not connect to wdb socket") }
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		master, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(15 * time.Second)
		master.Log.Want(t, "Error 3037 - Error while processing Agent-info chunks: error processing agent-info chunks in process pool: Error 2005 - ")
		worker.Log.Want(t, "There was an error while processing agent-info on the peer: error processing agent-info chunks in process pool: Error 2005 - ")
		dst.mu.Lock()
		dst.bad = nil
		dst.mu.Unlock()
		pairtest.Quiet(10 * time.Second)
		worker.Log.Want(t, "Agents' states reach the master again.")
		dst.has(t, src)
	})
}

func TestExchange_DatabaseOfTheWorkerIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(10), newSink()
		src.err = errDisk
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(time.Minute)
		if n := worker.Log.Count("Could not obtain data from wazuh-db: disk I/O error"); n != 1 {
			t.Errorf("said %d times", n)
		}
		src.mu.Lock()
		src.err = nil
		src.mu.Unlock()
		pairtest.Quiet(10 * time.Second)
		dst.has(t, src)
		worker.Log.Want(t, "The agent database can be read again.")
	})
}

// The chunks of one string have a time together; what is left then is not
// stored, and the worker learns how many were.
func TestExchange_SlowDatabase(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(100), newSink()
		dst.slow = 6 * time.Second
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		m := NewMaster(MasterConfig{Timeout: 40 * time.Second}, dst)
		master, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(30 * time.Second)
		if st, _ := m.Status("w1"); st.Free {
			t.Error("the worker is free to send while its string is being stored")
		}
		pairtest.Quiet(12 * time.Second)
		master.Log.Want(t, "Timeout while processing agent-info chunks.", "Updated 6 chunks.")
		worker.Log.Want(t, "Updated 6 chunks.", "The master has not stored all of it")
		if src.left() != 100 {
			t.Errorf("%d agents are still to be sent", src.left())
		}
	})
}

// What was under way when the connection ended is sent again by the next one.
func TestExchange_ConnectionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(100), newSink()
		dst.slow = 6 * time.Second
		m, w := NewMaster(MasterConfig{}, dst), NewWorker(WorkerConfig{Node: "w1"}, src)
		master, worker, stop := pairtest.Connect(t, "w1", false, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(15 * time.Second)
		stop()
		if src.left() != 100 || strings.Contains(master.Log.String()+worker.Log.String(), "level=ERROR") {
			t.Errorf("%d agents are still to be sent\n%s%s", src.left(), master.Log, worker.Log)
		}
		if _, ok := m.Status("w1"); ok {
			t.Error("the worker is still known")
		}
		dst.slow = 0
		pairtest.Connect(t, "w1", false, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(5 * time.Second)
		dst.has(t, src)
		if src.left() != 0 || src.reported != 2 {
			t.Errorf("%d agents are still to be sent, all reported %d times", src.left(), src.reported)
		}
	})
}

func TestExchange_EarlyBetweenTestudoNodes(t *testing.T) {
	for _, plain := range []bool{true, false} {
		t.Run(name(plain), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src, dst := newSource(3), newSink()
				w := NewWorker(WorkerConfig{Node: "w1", Early: time.Second}, src)
				pairtest.Connect(t, "w1", plain, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
				pairtest.Quiet(3 * time.Second)
				for range 100 { // more often than it is sent
					src.set(state{ID: 2, Alive: time.Now().Unix()})
					pairtest.Quiet(20 * time.Millisecond)
				}
				if left := src.left(); plain != (left > 0) && dst.stored < 8 {
					t.Errorf("%d agents are still to be sent, %d were stored", left, dst.stored)
				}
				if dst.stored > 12 {
					t.Errorf("%d agents were stored", dst.stored)
				}
			})
		})
	}
}

func request(t *testing.T, e *pairtest.End, command, payload string) string {
	t.Helper()
	answer, err := e.Request(t.Context(), command, []byte(payload))
	if err != nil {
		t.Errorf("%s: %v", command, err)
	}
	return string(answer)
}

func TestHostile_Row19_StringsThatAreNone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		done := make(chan string, 9)
		master, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(NewMaster(MasterConfig{}, newSink()).Offer), pairtest.ByHand(done, cmdDone, cmdFailed))
		for _, c := range []struct{ text, want, log string }{
			{"", "syn_m_a_err error while trying to access string under task_id b'999'.", "Error 3035 - String couldn't be found"},
			{"nonsense", "syn_m_a_err error while trying to load JSON: ", "Error 3036 - JSON couldn't be loaded"},
			{`{"payload": {}}`, "syn_m_a_err error while trying to load JSON: the object has no 'chunks'", "Error 3036"},
			{`{"chunks": []}`, `syn_m_a_e {"updated_chunks": 0, "error_messages": [], "time_spent": 0`, "The peer names another database command than ours"},
			{`{"set_data_command": "global sql DELETE FROM agent", "chunks": ["[]"]}`, `syn_m_a_e {"updated_chunks": 1, `, "global sql DELETE FROM agent"},
			{`{"set_data_command": "global sync-agent-info-set", "chunks": ["x", "[]"]}`, `syn_m_a_e {"updated_chunks": 1, "error_messages": ["Error 2003`, `Wazuh-db response for chunk 1/2 was not \"ok\"`},
		} {
			id := "999"
			if c.text != "" {
				id = worker.SendText(t, c.text)
			}
			if answer := request(t, worker, cmdString, id); answer != id {
				t.Errorf("answer %q, want %q", answer, id)
			}
			if got := <-done; !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: got %s, want %s", c.text, got, c.want)
			}
			synctest.Wait()
			master.Log.Want(t, c.log)
		}
		if answer := request(t, worker, cmdPermission, ""); answer != "True" {
			t.Errorf("permission %s", answer)
		}
	})
}

// What a worker can make us keep is bounded.
func TestMaster_Bounds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		done := make(chan string, 9)
		dst := newSink()
		dst.slow = time.Minute
		m := NewMaster(MasterConfig{Timeout: time.Hour, Bytes: 100}, dst)
		_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.ByHand(done, cmdDone, cmdFailed))
		_, other, _ := pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.ByHand(done, cmdDone, cmdFailed))
		for i := range maxStrings + 2 {
			id := worker.SendText(t, `{"set_data_command": "global sync-agent-info-set", "chunks": ["[]"]}`)
			_, err := worker.Request(t.Context(), cmdString, []byte(id))
			if (err == nil) != (i < maxStrings) {
				t.Errorf("string %d: %v", i, err)
			}
			if request(t, worker, cmdPermission, "") != "False" {
				t.Error("permission while a string is being stored")
			}
		}
		if request(t, other, cmdPermission, "") != "False" {
			t.Error("permission although too much of another worker waits")
		}
		for range maxStrings {
			<-done
		}
		pairtest.Quiet(time.Second)
		if request(t, worker, cmdPermission, "") != "True" || request(t, other, cmdPermission, "") != "True" {
			t.Error("no permission although nothing waits")
		}
	})
}

// A 4.7.5 worker sends everything in one string, and that may be 60 MB.
func TestMaster_LargeString(t *testing.T) {
	done := make(chan string, 1)
	dst := new(collected)
	_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.ByHand(done, cmdDone, cmdFailed))
	chunk := []byte("[" + strings.Repeat(`{"id":1,"last_keepalive":2},`, 2000) + `{"id":2,"last_keepalive":3}]`)
	list := make([][]byte, 600)
	for i := range list {
		list[i] = chunk
	}
	id := worker.SendText(t, string(chunks.Encode(setCommand, payload, list)))
	request(t, worker, cmdString, id)
	if got := <-done; !strings.HasPrefix(got, `syn_m_a_e {"updated_chunks": 600, "error_messages": [], `) || len(dst.lists) != 600 || dst.lists[599] != string(chunk) {
		t.Errorf("%s, %d lists", got, len(dst.lists))
	}
}

// strict is a 4.7.5 master: one string at a time, each with permission.
type strict struct {
	mu      sync.Mutex
	granted bool
	wrong   []string
	strings int
	slow    time.Duration
	refuse  int // times that permission is refused after a string
	refused int
}

func (s *strict) as(e *pairtest.End) {
	e.Mux.Handle(cmdPermission, func(context.Context, *session.Session, []byte) (session.Reply, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refused > 0 {
			s.refused--
			return session.OK("False"), nil
		}
		s.granted = true
		return session.OK("True"), nil
	})
	e.Mux.Handle(cmdString, func(_ context.Context, ses *session.Session, payload []byte) (session.Reply, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.granted {
			s.wrong = append(s.wrong, "a string without permission")
		}
		s.granted = false
		s.strings++
		text, err := ses.TakeString(string(payload))
		if err != nil {
			return session.Reply{}, err
		}
		str, err := chunks.Decode(text)
		if err != nil {
			return session.Reply{}, err
		}
		ses.Go(func(ctx context.Context) {
			time.Sleep(s.slow)
			s.mu.Lock()
			s.refused = s.refuse
			s.mu.Unlock()
			_, _ = ses.Request(ctx, cmdDone, chunks.Result{Chunks: len(str.Chunks)}.JSON())
		})
		return session.OK(payload), nil
	})
}

func TestWorker_KeepsTheOriginalsRules(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, m := newSource(300), &strict{slow: time.Second, refuse: 3}
		w := NewWorker(WorkerConfig{Node: "w1", Bytes: 2000}, src)
		pairtest.Connect(t, "w1", true, m.as, pairtest.Of(w.Offer))
		pairtest.Quiet(time.Minute)
		if len(m.wrong) > 0 || src.left() > 0 || m.strings < 3 {
			t.Errorf("%v, %d agents left, %d strings", m.wrong, src.left(), m.strings)
		}
	})
}

// A master that never reports a result has stored nothing, as far as we know.
func TestWorker_NoResult(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, m := newSource(3), &strict{slow: 4 * time.Minute}
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		_, worker, _ := pairtest.Connect(t, "w1", true, m.as, pairtest.Of(w.Offer))
		pairtest.Quiet(3*time.Minute + time.Second)
		if src.left() != 3 {
			t.Errorf("%d agents are still to be sent", src.left())
		}
		worker.Log.Want(t, "Error synchronizing agent info: no result came in time (3m0s)")
		pairtest.Quiet(5 * time.Minute)
	})
}
