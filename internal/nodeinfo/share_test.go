package nodeinfo

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// slowMaster counts what it is asked, and takes a second to answer with the count.
type slowMaster struct {
	mu    sync.Mutex
	asked int
}

func (m *slowMaster) offer(_ *session.Session, mux *session.Mux) func(context.Context) {
	mux.Handle(cmdHealth, func(context.Context, *session.Session, []byte) (session.Reply, error) {
		m.mu.Lock()
		m.asked++
		n := m.asked
		m.mu.Unlock()
		time.Sleep(time.Second)
		return session.OK(strconv.Itoa(n)), nil
	})
	return nil
}

// empty demands that no question is left.
func (s *shared) empty(t *testing.T) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) != 0 {
		t.Errorf("%d questions left", len(s.open))
	}
}

// Callers of the same share a question, but none gets an answer to a question
// that was asked before his.
func TestWorker_SharesQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(slowMaster)
		w := NewWorker(WorkerConfig{})
		_, _, stop := pairtest.Connect(t, "w1", true, pairtest.Of(m.offer), pairtest.Of(w.Offer))
		defer stop()
		synctest.Wait()
		var callers sync.WaitGroup
		ask := func(ctx context.Context, argument, want string) {
			callers.Go(func() {
				got, err := w.GetHealth(ctx, []byte(argument))
				if text := fmt.Sprint(string(got), err); text != want {
					t.Errorf("%s: got %s, want %s", argument, text, want)
				}
			})
			synctest.Wait()
		}
		impatient, leave := context.WithCancel(t.Context())
		ask(t.Context(), "null", "1<nil>")
		for range 5 {
			ask(t.Context(), "null", "3<nil>")
		}
		ask(t.Context(), "[]", "2<nil>") // another question does not wait
		ask(impatient, "null", fmt.Sprint("", fault.From(context.Canceled)))
		leave()
		callers.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.asked != 3 {
			t.Errorf("the master was asked %d times", m.asked)
		}
		w.asking.empty(t)
	})
}

// When the session ends all who wait are told.
func TestWorker_SharedQuestionWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(slowMaster)
		w := NewWorker(WorkerConfig{})
		_, _, stop := pairtest.Connect(t, "w1", true, pairtest.Of(m.offer), pairtest.Of(w.Offer))
		synctest.Wait()
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				_, err := w.GetHealth(t.Context(), []byte("null"))
				if !fault.Has(err, fault.NotConnected) {
					t.Errorf("got %v", err)
				}
			})
			synctest.Wait()
		}
		stop()
		callers.Wait()
		w.asking.empty(t)
	})
}

func TestRecentFilters(t *testing.T) {
	var r recentFilters
	argument := func(i int) []byte { return []byte(strconv.Itoa(i)) }
	for i := range 3 * keptFilters {
		r.keep(argument(i), NodeFilter{Offset: i})
		for k := range 3 * keptFilters {
			f, ok := r.find(argument(k))
			if want := k <= i && k > i-keptFilters; ok != want || ok && f.Offset != k {
				t.Fatalf("after %d: %d is kept: %t, %+v", i, k, ok, f)
			}
		}
	}
	r.keep(make([]byte, maxKept+1), NodeFilter{})
	if _, ok := r.find(make([]byte, maxKept+1)); ok {
		t.Error("a long argument is kept")
	}
}
