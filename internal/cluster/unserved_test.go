package cluster

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"testudo/internal/session"
	"testudo/internal/wire"
)

// meet connects a master's end, whose commands are mux's, to a worker that
// keeps no agent database.
func meet(t *testing.T, mux *session.Mux) (master *session.Session) {
	t.Helper()
	key, err := wire.NewKey("0123456789abcdef0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	hello := session.Hello{Name: "w1", Cluster: "wazuh", Type: "worker", Version: "4.7.5"}
	ends := make([]*session.Session, 0, 2)
	own := session.NewMux()
	Unserved{}.Offer(nil, own)
	for _, end := range []struct {
		conn net.Conn
		mux  *session.Mux
	}{{a, mux}, {b, own}} {
		s := session.New(end.conn, session.Config{Key: key})
		s.Establish(hello, end.mux, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(context.Background())
		}()
		t.Cleanup(func() { s.Close(nil); <-done })
		ends = append(ends, s)
	}
	return ends[0]
}

func TestUnserved_GroupsAreAFinishedExchangeOfNothing(t *testing.T) {
	for command, report := range map[string]string{"syn_g_m_w": "syn_w_g_e", "syn_g_m_w_c": "syn_wgc_e"} {
		t.Run(command, func(t *testing.T) {
			reported := make(chan []byte, 1)
			mux := session.NewMux()
			mux.Handle(report, func(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
				reported <- append([]byte(nil), payload...)
				return session.OK("Thanks"), nil
			})
			s := meet(t, mux)
			id, err := s.SendString(t.Context(), []byte(`{"chunks": ["[{\"data\":[],\"hash\":null}]"]}`))
			if err != nil {
				t.Fatal(err)
			}
			if answer, err := s.Request(t.Context(), command, []byte(id)); err != nil || string(answer) != id {
				t.Errorf("answer %q, %v, want %q", answer, err, id)
			}
			var result map[string]any
			select {
			case payload := <-reported:
				if err := json.Unmarshal(payload, &result); err != nil {
					t.Fatal(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("nothing is reported")
			}
			list, isList := result["error_messages"].([]any)
			if result["updated_chunks"] != 0.0 || !isList || len(list) > 0 || result["time_spent"] == nil {
				t.Errorf("report %v", result)
			}
		})
	}
}

func TestUnserved_Answers(t *testing.T) {
	s := meet(t, session.NewMux())
	if answer, err := s.Request(t.Context(), "syn_a_w_m_p", nil); err != nil || string(answer) != "False" {
		t.Errorf("permission: %q, %v", answer, err)
	}
	if answer, err := s.Request(t.Context(), "syn_g_m_w", []byte("17")); err == nil {
		t.Errorf("groups in a string that is not there: %q", answer)
	}
}
