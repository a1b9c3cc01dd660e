package sendsync

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// A worker asks what cannot be answered, and never takes the errors: what waits for
// it is bounded.
func TestMaster_WorkerThatTakesNoErrors(t *testing.T) {
	const most = 8
	m, _ := master(newHome(t), func(c *MasterConfig) { c.Failing = most })
	over := make(chan struct{})
	_, w, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), func(e *pairtest.End) {
		e.Mux.Handle(cmdError, func(context.Context, *session.Session, []byte) (session.Reply, error) {
			<-over
			return session.OK("Thanks"), nil
		})
	})
	defer close(over)
	question := []byte(`17 {"daemon_name":"` + strings.Repeat("x", 1000) + `","message":"m"}`)
	for range most {
		if _, err := w.Request(t.Context(), cmdAsk, question); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Request(t.Context(), cmdAsk, question); !fault.Has(err, fault.Busy) {
		t.Errorf("%v, want busy", err)
	}
}

// A message that is too long is not kept until its turn comes.
func TestEmbedded_TooLongAtOnce(t *testing.T) {
	busy := make(chan struct{}, embeddedParallel)
	m, _ := master(newHome(t), embedding(func(ctx context.Context, _ string, _ []byte) []byte {
		busy <- struct{}{}
		<-ctx.Done() // at the end of the session
		return nil
	}))
	w := introduced(t, m, "w1")
	for range embeddedParallel / 2 {
		go func() { _, _ = w.Ask(context.Background(), "17", authd) }()
	}
	for range embeddedParallel / 2 {
		<-busy
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := w.Ask(ctx, "17", []byte(`{"daemon_name": "authd", "message": "`+strings.Repeat("x", embeddedBytes+1)+`"}`))
	want := "Error 1014 - Error communicating with socket: auth: message longer than the limit"
	if text, ok := errors.AsType[session.PlainError](err); !ok || string(text) != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}
