package chunks

import (
	"errors"
	"testing"
	"time"
)

// A result that never comes must not make each later one that of the string
// before.
func TestOutbox_ForgetsWhatIsNotAnswered(t *testing.T) {
	var box Outbox
	send := func() *Sent {
		sent := &Sent{done: make(chan struct{})}
		box.sent = append(box.sent, sent)
		return sent
	}
	lost := send()
	box.Forget()
	next := send()
	if _, err := box.HandleDone(t.Context(), nil, []byte(`{"updated_chunks": 7, "error_messages": [], "time_spent": 0}`)); err != nil {
		t.Fatal(err)
	}
	if r, err := next.Wait(t.Context(), time.Minute); err != nil || r.Chunks != 7 {
		t.Errorf("the next string: %+v, %v", r, err)
	}
	if _, err := lost.Wait(t.Context(), time.Minute); !errors.Is(err, ErrNoResult) {
		t.Errorf("the lost string: %v", err)
	}
}
