package dapi

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// frozen joins a node that takes the first request and then does nothing.
func (w *world) frozen(name string) (thaw func()) {
	w.t.Helper()
	block := make(chan struct{})
	thaw = sync.OnceFunc(func() { close(block) })
	_, _, stop := pairtest.Connect(w.t, name, true, pairtest.Of(w.Offer), func(e *pairtest.End) {
		e.Mux.Handle("dapi", func(context.Context, *session.Session, []byte) (session.Reply, error) {
			<-block
			return session.OK("ok"), nil
		})
	})
	w.t.Cleanup(func() { thaw(); stop() })
	w.mu.Lock()
	w.names = append(w.names, name)
	w.mu.Unlock()
	synctest.Wait()
	return thaw
}

// A node that has frozen keeps nobody waiting but those who asked it, and they
// are told in time.
func TestThousandCallsWithOneNodeFrozen(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		w.frozen("w9")
		nodes := `, "nodes": ["m3", "w3", "w4", "w9"]`

		var toFrozen []<-chan asked
		for i := range 300 {
			toFrozen = append(toFrozen, aside(func() ([]byte, error) {
				request := ask{"test.sleep", `{"node_id": "w9"}`, DistributedMaster, nodes}.JSON()
				switch i % 3 {
				case 0:
					return w.AskNode(t.Context(), fmt.Sprint(i), "w9", request)
				case 1:
					return w.Ask(t.Context(), fmt.Sprint(i), request)
				}
				return w3.Ask(t.Context(), fmt.Sprint(i), request)
			}))
		}
		synctest.Wait()

		var others []<-chan asked
		for i := range 1000 {
			others = append(others, aside(func() ([]byte, error) {
				switch i % 4 {
				case 0:
					return w.Ask(t.Context(), fmt.Sprint(i), ask{"wazuh.cluster.get_node_wrapper", "", LocalMaster, nodes}.JSON())
				case 1:
					return w3.Ask(t.Context(), fmt.Sprint(i), ask{"wazuh.cluster.get_node_wrapper", "", LocalMaster, nodes}.JSON())
				case 2:
					return w.AskNode(t.Context(), fmt.Sprint(i), "w4", ask{"wazuh.cluster.get_node_wrapper", "", LocalAny, nodes}.JSON())
				}
				return w3.Ask(t.Context(), fmt.Sprint(i), ask{restart, `{"agent_list": ["001", "005", "009"]}`, DistributedMaster, nodes}.JSON())
			}))
		}
		for i, done := range others {
			got := <-done
			if got.err != nil || code(t, got.answer) != 0 {
				t.Errorf("%d: %s %v", i, got.answer, got.err)
			}
			if got.took > time.Second {
				t.Errorf("%d took %v", i, got.took)
			}
		}
		for i, done := range toFrozen {
			got := <-done
			c := fault.From(got.err)
			if got.err == nil {
				c = read(t, got.answer).Err
			}
			if c == nil || c.Code != fault.RequestTimeout && c.Code != fault.APITimeout {
				t.Errorf("%d of the frozen one: %s %v", i, got.answer, got.err)
			}
			if got.took > 200*time.Second {
				t.Errorf("%d of the frozen one took %v", i, got.took)
			}
		}
		w.owesNothing(t)
		w3.owesNothing(t)
	})
}

// A call that takes long delays no other, and neither do many of one function.
func TestSlowFunctionDelaysNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for range 200 {
			go func() { _, _ = w.Ask(t.Context(), "7", ask{function: "test.sleep", args: `{"seconds": 9}`}.JSON()) }()
		}
		synctest.Wait()
		began := time.Now()
		answer, err := w.Ask(t.Context(), "7", ask{function: "wazuh.cluster.get_node_wrapper"}.JSON())
		if items(t, mustAsk(t, answer, err)); time.Since(began) != 0 {
			t.Errorf("took %v", time.Since(began))
		}
		time.Sleep(time.Hour)
		w.owesNothing(t)
	})
}

// What does not fit in is told so at once, with a number, to each kind of asker.
func TestBusy(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, func(c *Config) { c.Queue = QueueConfig{Running: 2, Open: 20, OpenAll: 40} })
		w3 := w.join("w3", plain, nil)
		slow := ask{function: "test.sleep", args: `{"seconds": 2}`}.JSON()
		for where, again := range map[string]func(context.Context) ([]byte, error){
			"master": func(ctx context.Context) ([]byte, error) { return w.Ask(ctx, "7", slow) },
			"worker": func(ctx context.Context) ([]byte, error) { return w3.Ask(ctx, "7", slow) },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			for range 20 {
				go func() { _, _ = again(ctx) }()
			}
			synctest.Wait()
			began := time.Now()
			if answer, err := again(ctx); !fault.Has(err, fault.Busy) || time.Since(began) > 0 {
				t.Errorf("%s: got %s %v after %v", where, answer, err, time.Since(began))
			}
			cancel()
			time.Sleep(time.Minute)
		}
		w.owesNothing(t)
		w3.owesNothing(t)
	})
}

// A worker that owes too many answers gets no more requests.
func TestBusy_NodeThatOwes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Owed = 10 })
		w.frozen("w9")
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			go func() { _, _ = w.AskNode(ctx, "7", "w9", []byte("{}")) }()
		}
		synctest.Wait()
		if _, err := w.AskNode(t.Context(), "7", "w9", []byte("{}")); !fault.Has(err, fault.Busy) {
			t.Errorf("got %v", err)
		}
		cancel()
		synctest.Wait()
		l := w.link("w9")
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.owed) != 0 || l.bytes != 0 {
			t.Errorf("%d requests of %d bytes are owed", len(l.owed), l.bytes)
		}
	})
}

// An answer of 50 MiB passes all hops and leaves nothing behind.
func TestLargeAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 50 MiB several times")
	}
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w4 := w.join("w4", plain, nil)
		const size = 50 << 20
		answer, err := w3.Ask(t.Context(), "7", ask{"test.large", fmt.Sprintf(`{"bytes": %d, "node_id": "w4"}`, size), DistributedMaster, everybody}.JSON())
		if len(mustAsk(t, answer, err)) < size {
			t.Errorf("got %d bytes", len(answer))
		}
		if !strings.HasSuffix(string(answer[len(answer)-8:]), `xx"}}}}`) {
			t.Errorf("ends %s", answer[len(answer)-8:])
		}
		for _, n := range []*engine{w.engine, w3.engine, w4.engine} {
			n.owesNothing(t)
		}
	})
}

// Many long answers of one node at once are not more strings than it may have.
func TestManyLongAnswers(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w4 := w.join("w4", plain, nil)
		const size = inline + 1
		var all []<-chan asked
		for range 60 {
			all = append(all, aside(func() ([]byte, error) {
				return w3.Ask(t.Context(), "7", ask{"test.large", fmt.Sprintf(`{"bytes": %d, "node_id": "w4"}`, size), DistributedMaster, everybody}.JSON())
			}))
		}
		for i, done := range all {
			if got := <-done; got.err != nil || len(got.answer) < size {
				t.Errorf("%d: %.200s %v", i, got.answer, got.err)
			}
		}
		for _, n := range []*engine{w.engine, w3.engine, w4.engine} {
			n.owesNothing(t)
		}
	})
}

// A 4.7.5 node that goes on asking when everything is taken is answered at once
// as well, however little it listens.
func TestBusy_Flood(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Queue = QueueConfig{Open: 1} })
		held := make(chan struct{})
		_, far, _ := pairtest.Connect(t, "w3", true, pairtest.Of(w.Offer), func(e *pairtest.End) {
			e.Mux.Handle("dapi_err", func(context.Context, *session.Session, []byte) (session.Reply, error) {
				<-held
				return session.OK("ok"), nil
			})
		})
		defer close(held)
		synctest.Wait()
		told, refused := 0, 0
		for i := range 300 {
			_, err := far.Request(t.Context(), "dapi", append([]byte(fmt.Sprint(i, " ")), ask{function: "test.sleep", args: `{"seconds": 1e6}`, more: `, "wait_for_complete": true`}.JSON()...))
			switch {
			case err == nil:
				told++
			case fault.Has(err, fault.Busy):
				refused++
			default:
				t.Fatal(err)
			}
		}
		if told != 1+notices || refused != 300-told {
			t.Errorf("%d are told later, %d at once", told, refused)
		}
	})
}

// What is larger than a node may hold is refused with a number.
func TestTooLargeAnswer(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, func(c *Config) { c.AnswerBytes = 1 << 20 })
		w3 := w.join("w3", plain, nil)
		w4 := w.join("w4", plain, func(c *Config) { c.AnswerBytes = 2 << 20 })
		large := func(n int) []byte {
			return ask{"test.large", fmt.Sprintf(`{"bytes": %d, "node_id": "w4"}`, n), DistributedMaster, everybody}.JSON()
		}
		for name, n := range map[string]int{"of the node that runs it": 3 << 20, "of the node between": 3 << 19} {
			answer, err := w3.Ask(t.Context(), "7", large(n))
			if err == nil {
				err = read(t, answer).Err
			}
			if !fault.Has(err, fault.Busy) {
				t.Errorf("%s: got %.200s %v", name, answer, err)
			}
		}
		for _, n := range []*engine{w.engine, w3.engine, w4.engine} {
			n.owesNothing(t)
		}
	})
}
