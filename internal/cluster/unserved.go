package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/logging"
	"testudo/internal/session"
)

// Unserved answers, truthfully and in a way that a 4.7.5 peer takes calmly,
// for the exchanges that need an agent database: this node keeps none.
type Unserved struct{}

const taskGroups = "Agent-groups recv"

// Offer implements Exchange.
func (Unserved) Offer(_ *session.Session, mux *session.Mux) func(context.Context) {
	// A worker that gets no permission keeps what it has, tries again later and
	// logs nothing above debug.
	mux.Handle("syn_a_w_m_p", func(context.Context, *session.Session, []byte) (session.Reply, error) {
		return session.OK("False"), nil
	})
	once := new(sync.Once)
	mux.Handle("syn_g_m_w", (&groups{report: "syn_w_g_e", said: once}).take)
	mux.Handle("syn_g_m_w_c", (&groups{report: "syn_wgc_e", said: once}).take)
	return nil
}

// groups takes what a master sends of its agents' groups and reports that none
// of it was stored. To the master that is a finished exchange: it writes
// "Updated 0 chunks." A refusal would be an error line there, or a start without
// an end, each time it sends. Nothing is lost by it: a worker that has a
// database finds by the checksum that comes along that it lacks them all.
type groups struct {
	report    string // the command that ends the exchange
	said      *sync.Once
	reporting atomic.Bool // one report at a time, however often the master sends
}

func (g *groups) take(_ context.Context, s *session.Session, sid []byte) (session.Reply, error) {
	began := time.Now()
	if _, err := s.TakeString(string(sid)); err != nil {
		return session.Reply{}, err
	}
	log := s.Log().With(logging.Task(taskGroups))
	g.said.Do(func() { log.Info("Groups of agents are not stored: this node keeps no agent database.") })
	if g.reporting.CompareAndSwap(false, true) {
		s.Go(func(ctx context.Context) {
			defer g.reporting.Store(false)
			g.tell(ctx, s, log, began)
		})
	}
	return session.OK(sid), nil
}

// nothingStored is the result of an exchange of agents' data.
type nothingStored struct {
	Chunks  int      `json:"updated_chunks"`
	Errors  []string `json:"error_messages"`
	Seconds float64  `json:"time_spent"`
}

func (g *groups) tell(ctx context.Context, s *session.Session, log *slog.Logger, began time.Time) {
	payload, err := json.Marshal(nothingStored{Errors: []string{}, Seconds: time.Since(began).Seconds()})
	if err == nil {
		_, err = s.Request(ctx, g.report, payload)
	}
	if err != nil && !errors.Is(err, session.ErrClosed) {
		log.Debug("The master did not take the report on agents' groups", "error", logging.Quote(err.Error()))
	}
}
