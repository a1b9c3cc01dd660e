package sendsync

import (
	"context"
	"errors"
	"testing"

	"testudo/internal/fault"
)

func TestWatch_RemembersUntilAnAnswer(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var err error
	w := &Watch{ask: func(context.Context, string, []byte) ([]byte, error) { return nil, err }}
	for _, c := range []struct {
		ctx      context.Context
		err      error
		failures int
	}{
		{t.Context(), fault.New(fault.NotConnected, nil), 0},
		{gone, errors.New("the agent has gone"), 0},
		{t.Context(), errors.New("no authd"), 1},
		{t.Context(), errors.New("still no authd"), 2},
		{t.Context(), fault.New(fault.NotConnected, nil), 2},
		{t.Context(), nil, 0},
	} {
		err = c.err
		if _, got := w.Ask(c.ctx, "enrolment", nil); !errors.Is(got, c.err) {
			t.Errorf("got %v, want %v", got, c.err)
		}
		trouble, ok := w.Trouble()
		if trouble.Failures != c.failures || ok != (c.failures > 0) || ok && trouble.Failures == 2 && trouble.Text != "still no authd" {
			t.Errorf("after %v: %+v, %v", c.err, trouble, ok)
		}
	}
}
