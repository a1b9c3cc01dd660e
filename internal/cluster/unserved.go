package cluster

import (
	"context"
	"errors"

	"testudo/internal/session"
)

// Unserved answers, truthfully and in a way that a 4.7.5 peer takes calmly,
// for the exchanges that need an agent database: this node keeps none.
type Unserved struct{}

var errNoAgentDatabase = errors.New("this node keeps no agent database")

// Offer implements Exchange.
func (Unserved) Offer(_ *session.Session, mux *session.Mux) func(context.Context) {
	// A worker that gets no permission tries again later and logs nothing
	// above debug.
	mux.Handle("syn_a_w_m_p", func(context.Context, *session.Session, []byte) (session.Reply, error) {
		return session.OK("False"), nil
	})
	for _, command := range []string{"syn_g_m_w", "syn_g_m_w_c"} {
		mux.Handle(command, func(_ context.Context, s *session.Session, sid []byte) (session.Reply, error) {
			if _, err := s.TakeString(string(sid)); err != nil {
				return session.Reply{}, err
			}
			return session.Reply{}, errNoAgentDatabase
		})
	}
	return nil
}
