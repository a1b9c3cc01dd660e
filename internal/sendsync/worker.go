package sendsync

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// maxName is the longest name of a client, in bytes.
const maxName = 64

// WorkerConfig is what the worker's end needs. Zero values are replaced by those
// named.
type WorkerConfig struct {
	Patience time.Duration // for the answer to a question; 2 min
	Open     int           // questions under way; 1024
	Log      *slog.Logger
}

// Worker asks the master's daemons for the local programs of a worker.
type Worker struct {
	cfg      WorkerConfig
	log      *slog.Logger
	refusals session.Refusals

	mu      sync.Mutex
	session *session.Session // nil without a master
	open    map[string]chan answer
	number  uint64 // of the last question whose client was asking already
}

// answer is what the master has said.
type answer struct {
	data []byte
	err  error
}

// NewWorker returns the worker's end.
func NewWorker(cfg WorkerConfig) *Worker {
	cfg.Patience, cfg.Open = cmp.Or(cfg.Patience, 2*time.Minute), cmp.Or(cfg.Open, 1024)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{cfg: cfg, log: cfg.Log.With(logging.Task("SendSync")), open: make(map[string]chan answer)}
}

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	mux.Handle(cmdAnswer, w.answered)
	mux.Handle(cmdError, w.failed)
	mux.Handle(cmdInline, w.inline)
	mux.Offer(session.FeatureAnswers)
	return func(ctx context.Context) {
		w.mu.Lock()
		w.session = s
		w.mu.Unlock()
		<-ctx.Done()
		w.mu.Lock()
		if w.session == s {
			w.session = nil
		}
		w.mu.Unlock()
	}
}

// PeerHas says whether there is a master, a Testudo node with a feature.
func (w *Worker) PeerHas(feature string) bool {
	w.mu.Lock()
	s := w.session
	w.mu.Unlock()
	return s != nil && s.PeerHas(feature)
}

// Ask sends a local client's question, {"daemon_name": …, "message": …}, to the
// master and waits for the daemon's answer. Without a master, or when it is lost
// meanwhile, the error is fault 3023; what the master has to say is a
// session.PlainError.
func (w *Worker) Ask(ctx context.Context, client string, request []byte) ([]byte, error) {
	s, id, reply, err := w.enter(client)
	if err != nil {
		return nil, err
	}
	defer w.leave(id, reply)
	ctx, cancel := context.WithTimeoutCause(ctx, w.cfg.Patience, fault.New(fault.RequestTimeout, cmdAsk))
	defer cancel()
	payload := append(append(make([]byte, 0, len(id)+1+len(request)), id...), ' ')
	if _, err := s.Request(ctx, cmdAsk, append(payload, request...)); err != nil {
		return nil, lost(err)
	}
	select {
	case a := <-reply:
		return a.data, a.err
	case <-s.Done():
		return nil, fault.New(fault.NotConnected, nil)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lost is the error of a request: the end of the session is that of the
// connection to the master.
func lost(err error) error {
	if errors.Is(err, session.ErrClosed) {
		return fault.Wrap(fault.NotConnected, nil, err)
	}
	return err
}

// enter opens a question under the client's name, or under one of its own when
// the client has one open already: the master returns the name with the answer.
func (w *Worker) enter(client string) (s *session.Session, id string, reply chan answer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.session == nil:
		return nil, "", nil, fault.New(fault.NotConnected, nil)
	case len(w.open) >= w.cfg.Open:
		return nil, "", nil, fault.New(fault.Busy, nil)
	}
	for id = client; w.open[id] != nil; id = client + "." + strconv.FormatUint(w.number, 36) {
		w.number++
	}
	ch := make(chan answer, 1)
	w.open[id] = ch
	return w.session, id, ch, nil
}

func (w *Worker) leave(id string, reply chan answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[id] == reply { // not that of a later question
		delete(w.open, id)
	}
}

// settle hands an answer to whoever asked, and says whether there is somebody.
func (w *Worker) settle(client string, a answer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	reply := w.open[client]
	if reply == nil {
		return false
	}
	delete(w.open, client)
	reply <- a
	return true
}

// answered takes "CLIENT STRING".
func (w *Worker) answered(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
	client, id, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return session.Reply{}, errors.New("client and string expected")
	}
	var a answer
	a.data, a.err = s.TakeString(string(id))
	switch {
	case a.err == nil:
	case strings.HasPrefix(string(id), "Error "): // a 4.7.5 master that could not send the string says why
		a.err = session.PlainError(id)
	default:
		a.err = fault.Wrap(fault.StringAbsent, nil, a.err)
	}
	if !w.settle(string(client), a) {
		w.undelivered(string(client))
	}
	return session.OK(textForwarded), nil
}

// inline takes "CLIENT answer".
func (w *Worker) inline(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	client, data, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return session.Reply{}, errors.New("client and answer expected")
	}
	if !w.settle(string(client), answer{data: bytes.Clone(data)}) {
		w.undelivered(string(client))
	}
	return session.OK(textForwarded), nil
}

// failed takes "CLIENT text".
func (w *Worker) failed(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	client, text, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return session.Reply{}, errors.New("client and text expected")
	}
	if !w.settle(string(client), answer{err: session.PlainError(text)}) {
		w.undelivered(string(client))
		return session.Reply{}, fmt.Errorf("no client %.64q", client)
	}
	return session.OK(textErrorForwarded), nil
}

// undelivered logs that an answer came for a client that has gone: what it asked
// for has been done, and it does not know.
func (w *Worker) undelivered(client string) {
	w.refusals.Log(w.log, slog.LevelError, "Error sending sendsync response to local client: it has gone",
		slog.String("client", logging.Cut(client)))
}
