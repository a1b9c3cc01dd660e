package sendsync

import (
	"context"

	"testudo/internal/chunks"
	"testudo/internal/fault"
)

// Watch asks, and remembers what the questions have met since the last answer.
// That there is no master is not remembered here: whoever asks knows when there
// is one again.
type Watch struct {
	ask      func(ctx context.Context, client string, request []byte) ([]byte, error)
	troubles chunks.Troubles
}

// NewWatch watches the questions of one part of this node.
func (w *Worker) NewWatch() *Watch { return &Watch{ask: w.Ask} }

// Ask is Worker.Ask.
func (w *Watch) Ask(ctx context.Context, client string, request []byte) ([]byte, error) {
	answer, err := w.ask(ctx, client, request)
	if err == nil || ctx.Err() == nil && !fault.Has(err, fault.NotConnected) {
		w.troubles.Note(chunks.Result{}, err, 0)
	}
	return answer, err
}

// Trouble is what the questions since the last answer have met; ok is false when
// that is nothing.
func (w *Watch) Trouble() (trouble chunks.Trouble, ok bool) { return w.troubles.Now() }
