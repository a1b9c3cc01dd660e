package agentgroups

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/peertest"
	"testudo/internal/session"
)

// runMaster starts a master without a delay before its first message.
func runMaster(t *testing.T, src Source, change func(*MasterConfig)) (*Master, *peertest.Lines) {
	t.Helper()
	log := peertest.NewLines()
	cfg := MasterConfig{Log: log.Logger()}
	if change != nil {
		change(&cfg)
	}
	m := NewMaster(cfg, src)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return m, log
}

// delayed lets workers connect before the first message.
func delayed(c *MasterConfig) { c.StartDelay = time.Second }

func name(plain bool) string { return map[bool]string{true: "4.7.5", false: "Testudo"}[plain] }

func TestExchange_ChangesReachTheWorkers(t *testing.T) {
	for _, plain := range []bool{true, false} {
		t.Run(name(plain), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src, a, b := newSource(), newSink(1, 2, 3, 4, 5), newSink(1, 2, 3, 4, 5)
				for id := range newSink(1, 2, 3, 4, 5).groups {
					src.set(id, "default", "web")
				}
				m, log := runMaster(t, src, func(c *MasterConfig) { c.StartDelay = 30 * time.Second })
				master, worker, _ := pairtest.Connect(t, "w1", plain, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, a).Offer))
				pairtest.Connect(t, "w2", plain, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, b).Offer))
				pairtest.Quiet(29 * time.Second)
				if a.sets != 0 || src.left() != 5 {
					t.Errorf("%d lists stored, %d agents left", a.sets, src.left())
				}
				log.Want(t, "Sleeping 30s before starting the agent-groups task, waiting for the workers connection.")
				pairtest.Quiet(2 * time.Second)
				a.same(t, src)
				b.same(t, src)
				read := 0 // a Testudo worker that is new to us gets everything first
				if !plain {
					read = 1
				}
				if src.left() != 0 || a.sets != 2 {
					t.Errorf("%d agents left, %d lists stored", src.left(), a.sets)
				}
				log.Want(t, "msg=Starting.", "Obtained 2 chunks of data in 0.000s.", "Finished in 0.000s.")
				master.Log.Want(t, `task="Agent-groups send`, "Sending chunks.", "Updated 2 chunks.")
				pairtest.Quiet(10 * time.Second)
				worker.Log.Want(t, `task="Agent-groups recv`, "2/2 chunks updated in wazuh-db in 0.000s.", "Updated 2 chunks.",
					"Obtained 1 chunks of data in 0.000s.", `"The checksum of both databases match. "`)
				src.set(3, "db")
				pairtest.Quiet(10 * time.Second)
				a.same(t, src)
				pairtest.Quiet(10 * time.Second) // a message comes without changes, for the checksum
				if n := worker.Log.Count("The checksum of both databases match. "); n != 4-read || a.sets != 3 || src.full != read {
					t.Errorf("%d checksums compared, %d lists stored, everything read %d times", n, a.sets, src.full)
				}
				changes, full, ok := m.Status("w1")
				if !ok || changes.Chunks != 1 || changes.Ended.IsZero() || full.Started.IsZero() != plain {
					t.Errorf("status %+v, %+v, %v", changes, full, ok)
				}
			})
		})
	}
}

func TestMaster_WithoutWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := newSource()
		src.err = errDisk
		m, log := runMaster(t, src, nil)
		pairtest.Quiet(25 * time.Second)
		if n := log.Count("No clients connected. Skipping."); n != 3 {
			t.Errorf("said %d times", n)
		}
		pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, newSink()).Offer))
		pairtest.Quiet(time.Minute)
		if n := log.Count("Could not obtain data from wazuh-db: disk I/O error"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// A change counts as sent when every worker has it.
func TestMaster_WaitsForAllWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, good, bad := newSource(), newSink(1), newSink(1)
		bad.err = errDisk
		m, _ := runMaster(t, src, delayed)
		pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, good).Offer))
		master, _, _ := pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{Mismatches: 99}, bad).Offer))
		src.set(1, "default")
		pairtest.Quiet(12 * time.Second)
		good.same(t, src)
		if src.left() != 1 || good.sets != 1 {
			t.Errorf("%d agents left, the good worker stored %d lists", src.left(), good.sets)
		}
		master.Log.Want(t, "There were 1 chunks with errors: ['Error 2003 - ", "The worker has not stored all of it; it gets it again.")
		bad.mu.Lock()
		bad.err = nil
		bad.mu.Unlock()
		pairtest.Quiet(10 * time.Second)
		bad.same(t, src)
		if src.left() != 0 || good.sets != 1 {
			t.Errorf("%d agents left, the good worker stored %d lists", src.left(), good.sets)
		}
	})
}

// A worker that keeps failing keeps no change from being taken for sent.
func TestMaster_DoesNotWaitForEver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, good, bad := newSource(), newSink(1), newSink(1)
		bad.err = errDisk
		m, _ := runMaster(t, src, delayed)
		pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, good).Offer))
		master, _, _ := pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, bad).Offer))
		src.set(1, "default")
		pairtest.Quiet(25 * time.Second)
		master.Log.Want(t, "The worker does not store what it is sent; it is no longer waited for.")
		if src.left() != 0 {
			t.Errorf("%d agents left", src.left())
		}
		bad.mu.Lock()
		bad.err = nil
		bad.mu.Unlock()
		pairtest.Quiet(time.Minute)
		bad.same(t, src)
		if src.full != 1 {
			t.Errorf("everything was read %d times", src.full)
		}
	})
}

// While a worker is slow only the newest message waits for it, and it holds the
// changes of those it replaced.
func TestMaster_SlowWorker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, slow, quick := newSource(), newSink(1, 2, 3, 4, 5, 6), newSink(1, 2, 3, 4, 5, 6)
		slow.slow = 15 * time.Second
		m, _ := runMaster(t, src, delayed)
		_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, slow).Offer))
		pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, quick).Offer))
		for id := range 6 {
			src.set(newAgent(id+1), "default")
			pairtest.Quiet(10 * time.Second)
		}
		pairtest.Quiet(50 * time.Second)
		slow.same(t, src)
		quick.same(t, src)
		if n := worker.Log.Count("Command received: b'syn_g_m_w'"); n > 10 || src.full > 0 || src.left() > 0 {
			t.Errorf("%d messages in 110 s, everything read %d times, %d agents left", n, src.full, src.left())
		}
	})
}

// What would only wait is not even made, and comes as soon as a worker is free.
func TestMaster_MakesNothingForBusyWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, slow := newSource(), newSink(1, 2)
		slow.slow = 25 * time.Second
		m, _ := runMaster(t, src, delayed)
		pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, slow).Offer))
		src.set(1, "default")
		pairtest.Quiet(5 * time.Second)
		src.set(2, "default")
		pairtest.Quiet(20 * time.Second)
		if n := src.made(); n != 1 {
			t.Errorf("%d messages were made while one was being stored", n)
		}
		pairtest.Quiet(2 * time.Second)
		if n := src.made(); n != 2 {
			t.Errorf("%d messages were made when the worker had become free", n)
		}
		pairtest.Quiet(25 * time.Second)
		slow.same(t, src)
		if src.left() > 0 {
			t.Errorf("%d agents left", src.left())
		}
	})
}

func TestExchange_MismatchAndEverything(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := newSource(), newSink(1, 2, 3, 4)
		for id := range dst.groups {
			src.set(id, "default")
		}
		m, _ := runMaster(t, src, delayed)
		w := NewWorker(WorkerConfig{Mismatches: 3}, dst)
		master, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(2 * time.Second)
		dst.set(2, "default", "web")
		dst.set(4)
		pairtest.Quiet(10 * time.Second)
		worker.Log.Want(t, "The checksum of master ("+src.groups.hash()+") and worker ("+dst.groups.hash()+") are different.", "Checksum comparison failed (1/3).")
		pairtest.Quiet(20 * time.Second)
		worker.Log.Want(t, "Checksum comparison failed (3/3).", "Sent request to obtain all agent-groups information from the master node.",
			`task="Agent-groups recv full"`, "Groups of 2 agents were not the master's: 002 (was default,web, is default); 004 (was none, is default)",
			"Recalculating agent-group hash.")
		master.Log.Want(t, `task="Agent-groups send full"`, "Recalculating agent-group hash.", "Obtained 2 chunks of data", "Updated 2 chunks.")
		dst.same(t, src)
		if dst.recalc != 1 || src.full != 1 {
			t.Errorf("recalculated %d times, everything read %d times", dst.recalc, src.full)
		}
		if _, full, _ := m.Status("w1"); full.Chunks != 2 || full.Ended.IsZero() {
			t.Errorf("status %+v", full)
		}
		dst.set(2)
		pairtest.Quiet(10 * time.Second)
		dst.set(2, "default")
		pairtest.Quiet(10 * time.Second)
		worker.Log.Want(t, "The checksum of both databases match. Counter reset.")
		dst.set(9, "default") // an agent that the master has not
		pairtest.Quiet(30 * time.Second)
		worker.Log.Want(t, "No agent of the master's had other groups here, but the checksums differ: this node has agents that the master has not.")
	})
}

// A worker that asks all the time gets everything once in an interval.
func TestMaster_EverythingAtMostOnceInAnInterval(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := newSource()
		src.set(1, "default")
		m, _ := runMaster(t, src, delayed)
		got := 0
		hand := func(e *pairtest.End) {
			for command, done := range map[string]string{cmdChanges: cmdChangesDone, cmdFull: cmdFullDone} {
				e.Mux.Handle(command, func(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
					if command == cmdFull {
						got++
					}
					_, err := s.TakeString(string(payload))
					s.Go(func(ctx context.Context) { _, _ = s.Request(ctx, done, chunks.Result{Chunks: 1}.JSON()) })
					return session.OK(payload), err
				})
			}
		}
		_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), hand)
		for range 100 {
			if _, err := worker.Request(t.Context(), cmdAsk, nil); err != nil {
				t.Fatal(err)
			}
			pairtest.Quiet(500 * time.Millisecond)
		}
		if got < 4 || got > 6 || src.full != got {
			t.Errorf("everything came %d times in 50 s, was read %d times", got, src.full)
		}
	})
}

// Workers that ask at the same time share what is read once.
func TestMaster_EverythingIsReadOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := newSource()
		src.set(1, "default")
		m, _ := runMaster(t, src, delayed)
		sinks := []*sink{newSink(1), newSink(1), newSink(1)}
		for i, dst := range sinks {
			pairtest.Connect(t, []string{"a", "b", "c"}[i], true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, dst).Offer))
		}
		pairtest.Quiet(2 * time.Second)
		for _, dst := range sinks {
			dst.set(1, "web")
		}
		pairtest.Quiet(time.Minute)
		for _, dst := range sinks {
			dst.same(t, src)
		}
		if src.full != 1 {
			t.Errorf("everything was read %d times", src.full)
		}
	})
}

func TestExchange_EarlyBetweenTestudoNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, ours, theirs := newSource(), newSink(1), newSink(1)
		m, _ := runMaster(t, src, func(c *MasterConfig) { c.Early = time.Second })
		pairtest.Connect(t, "w1", false, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, ours).Offer))
		pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, theirs).Offer))
		pairtest.Quiet(12 * time.Second)
		for i := range 20 {
			src.set(1, []string{"a", "b"}[i%2])
			pairtest.Quiet(100 * time.Millisecond)
		}
		pairtest.Quiet(time.Second)
		ours.same(t, src)
		if theirs.sets != 0 || ours.sets > 5 || src.left() != 1 {
			t.Errorf("a 4.7.5 worker got %d messages, ours %d, %d agents left", theirs.sets, ours.sets, src.left())
		}
		pairtest.Quiet(8 * time.Second)
		theirs.same(t, src)
		if src.left() != 0 {
			t.Errorf("%d agents left", src.left())
		}
	})
}

// byHand makes a master's end that gives the worker's reports and requests.
func byHand(done chan<- string) func(*pairtest.End) {
	return pairtest.ByHand(done, cmdChangesDone, cmdChangesFailed, cmdFullDone, cmdFullFailed, cmdAsk)
}

// hand sends a message.
func hand(t *testing.T, e *pairtest.End, command, text string) error {
	t.Helper()
	id := e.SendText(t, text)
	answer, err := e.Request(t.Context(), command, []byte(id))
	if err == nil && string(answer) != id {
		t.Errorf("answer %q, want %q", answer, id)
	}
	return err
}

func TestWorker_StringsThatAreNone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		done := make(chan string, 9)
		dst := newSink(1)
		master, worker, _ := pairtest.Connect(t, "w1", true, byHand(done), pairtest.Of(NewWorker(WorkerConfig{}, dst).Offer))
		for _, c := range []struct{ command, text, want, log string }{
			{cmdChanges, "nonsense", "syn_w_g_err error while trying to load JSON: ", "Error 3036"},
			{cmdFull, "nonsense", "syn_wgc_err error while trying to load JSON: ", "Error 3036"},
			{cmdChanges, `{"payload": {}}`, "syn_w_g_err error while trying to load JSON: ", "Error 3036"},
			{cmdChanges, string(chunks.Encode(setCommand, payload, [][]byte{[]byte("x"), []byte(`[{"data":[{"id":1,"groups":["a"]}]}]`), []byte(`[{}]`)})),
				`syn_w_g_e {"updated_chunks": 1, "error_messages": ["Expecting a list: char 0", "the chunk has no 'data'"], `, "There were 2 chunks with errors"},
			{cmdChanges, string(chunks.Encode("global sql DELETE FROM agent", payload, nil)), `syn_w_g_e {"updated_chunks": 0, `, "The peer names another database command than ours"},
		} {
			if err := hand(t, master, c.command, c.text); err != nil {
				t.Error(err)
			}
			if got := <-done; !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: got %s, want %s", c.text, got, c.want)
			}
			synctest.Wait()
			worker.Log.Want(t, c.log)
		}
		if dst.groups.hash() == "" {
			t.Error("the good chunk is not stored")
		}
		dst.err = fault.New(fault.DatabaseUnreachable, nil)
		if err := hand(t, master, cmdChanges, string(chunks.Encode(setCommand, payload, [][]byte{[]byte(`[{"data":[{"id":1,"groups":["a"]}]}]`)}))); err != nil {
			t.Error(err)
		}
		if got := <-done; !strings.HasPrefix(got, "syn_w_g_err error processing agent-groups chunks in process pool: Error 2005 - ") {
			t.Error(got)
		}
	})
}

// Messages for which there is no room are refused, and what a 4.7.5 master then
// takes for stored is asked for.
func TestWorker_Bounds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		done := make(chan string, 99)
		dst := newSink(1)
		dst.slow = 30 * time.Second
		master, _, _ := pairtest.Connect(t, "w1", true, byHand(done), pairtest.Of(NewWorker(WorkerConfig{}, dst).Offer))
		text := string(chunks.Encode(setCommand, payload, [][]byte{[]byte(`[{"data":[{"id":1,"groups":["a"]}],"hash":"00"}]`)}))
		for i := range 7 {
			if err := hand(t, master, cmdChanges, text); (err == nil) != (i < maxStrings) {
				t.Errorf("message %d: %v", i, err)
			}
		}
		pairtest.Quiet(31 * time.Second)
		if first, second := <-done, <-done; !strings.HasPrefix(first, cmdChangesDone) || !strings.HasPrefix(second, cmdAsk) {
			t.Errorf("%s, then %s", first, second)
		}
		pairtest.Quiet(3 * time.Minute)
	})
}
