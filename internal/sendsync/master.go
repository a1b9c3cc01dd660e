package sendsync

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
	"testudo/internal/unixsock"
)

// MasterConfig is what the master's end needs. Zero values are replaced by those
// named.
type MasterConfig struct {
	Home         string        // below which the daemons' sockets are
	Parallel     int           // questions that one daemon has at a time; 4
	Waiting      int           // questions of one worker to one daemon that are under way; 64
	Failing      int           // errors of one worker that it has not taken; 1,024
	AnswerTime   time.Duration // for an answer, with the time until the question's turn; 1 min
	MessageBytes int           // of a question or an answer; 32 MiB
	Log          *slog.Logger

	// Embedded are the daemons that are a part of this process, by their names.
	// They are asked in the place of the sockets, and many questions at a time.
	Embedded map[string]Embedded
	// Features are offered to Testudo workers, because of what is embedded.
	Features []string
}

// Embedded answers a worker's message as a daemon does behind its socket. It
// returns when it has the answer or ctx ends; nil is no answer. It is called by
// many at once.
type Embedded func(ctx context.Context, worker string, message []byte) []byte

// How many questions a daemon of this process has at a time, and how many one
// worker may have under way.
// The bytes of one are as many as their sockets take.
const (
	embeddedParallel = 256
	embeddedWaiting  = 1024
	embeddedBytes    = 64 << 10
)

// shownDaemon is how much of the name of an unknown daemon is told, in bytes.
const shownDaemon = 64

// Master asks the daemons of its home. A daemon that hangs keeps up nobody but
// those who ask it, and one worker's many questions do not keep up another's.
type Master struct {
	cfg      MasterConfig
	daemons  map[string]*daemon
	log      *slog.Logger
	refusals session.Refusals
}

// NewMaster returns the master's end.
func NewMaster(cfg MasterConfig) *Master {
	cfg.Parallel, cfg.Waiting = cmp.Or(cfg.Parallel, 4), cmp.Or(cfg.Waiting, 64)
	cfg.AnswerTime, cfg.MessageBytes = cmp.Or(cfg.AnswerTime, time.Minute), cmp.Or(cfg.MessageBytes, 32<<20)
	cfg.Failing = cmp.Or(cfg.Failing, 1024)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Master{cfg: cfg, log: cfg.Log.With(logging.Task("SendSync")), daemons: make(map[string]*daemon)}
	limit := unixsock.Limits{Message: cfg.MessageBytes, Reply: cfg.MessageBytes, Read: cfg.AnswerTime, Write: cfg.AnswerTime}
	for name, path := range daemons() {
		d := &daemon{path: filepath.Join(cfg.Home, path), turns: make(chan struct{}, cfg.Parallel), waiting: cfg.Waiting, limit: limit}
		if within := cfg.Embedded[name]; within != nil {
			d.within, d.turns, d.waiting = within, make(chan struct{}, embeddedParallel), embeddedWaiting
			d.limit.Message = min(limit.Message, embeddedBytes)
		}
		m.daemons[name] = d
	}
	return m
}

// asking is the conversation with one worker.
type asking struct {
	m *Master
	s *session.Session

	mu      sync.Mutex
	queues  map[*daemon]*queue
	failing int // errors under way
}

// queue is a worker's questions to one daemon.
type queue struct {
	open  int           // guarded by asking.mu
	turns chan struct{} // a token for each that the daemon has or is about to get
}

// Offer implements cluster.Exchange.
func (m *Master) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := &asking{m: m, s: s, queues: make(map[*daemon]*queue)}
	mux.Handle(cmdAsk, c.take)
	for _, feature := range m.cfg.Features {
		mux.Offer(feature)
	}
	return nil
}

// take answers "CLIENT question".
func (c *asking) take(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
	name, request, ok := bytes.Cut(payload, []byte{' '})
	if !ok || len(name) > maxName {
		return session.Reply{}, errors.New("client and request expected")
	}
	client := string(name)
	daemon, message, err := parse(request)
	d := c.m.daemons[daemon]
	daemon = strings.Clone(daemon[:min(len(daemon), shownDaemon)])
	switch {
	case err != nil:
	case d == nil:
		err = fault.New(fault.SocketTalk, "'"+daemon+"'")
	case len(message) > d.limit.Message:
		err = fault.New(fault.SocketTalk, d.name()+": message longer than the limit")
	}
	var q *queue
	if err == nil {
		q, err = c.enter(d)
	}
	if err != nil {
		return c.failLater(client, daemon, err)
	}
	if !s.Go(func(ctx context.Context) {
		defer c.leave(q)
		c.m.log.Debug("Receiving SendSync request (" + daemon + ") from " + s.Name() + " (" + logging.Quote(client) + ")")
		answer, err := c.ask(ctx, d, q, message)
		if err != nil {
			c.fail(ctx, client, daemon, err)
			return
		}
		c.answer(ctx, client, answer)
	}) {
		c.leave(q)
	}
	return session.OK(textQueued), nil
}

// failLater reports an error to the worker, unless there are too many that it has
// not taken: then the request itself has failed.
func (c *asking) failLater(client, daemon string, why error) (session.Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing >= c.m.cfg.Failing {
		return session.Reply{}, fault.New(fault.Busy, nil)
	}
	c.failing++
	if !c.s.Go(func(ctx context.Context) {
		c.fail(ctx, client, daemon, why)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failing--
	}) {
		c.failing--
	}
	return session.OK(textQueued), nil
}

// enter counts a question, unless there are too many.
func (c *asking) enter(d *daemon) (*queue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[d]
	if q == nil {
		// Half of the daemon's turns leave the rest to other workers.
		q = &queue{turns: make(chan struct{}, max(1, cap(d.turns)/2))}
		c.queues[d] = q
	}
	if q.open >= d.waiting {
		return nil, fault.New(fault.Busy, d.name())
	}
	q.open++
	return q, nil
}

func (c *asking) leave(q *queue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q.open--
}

// ask waits for the question's turn and asks.
func (c *asking) ask(ctx context.Context, d *daemon, q *queue, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.m.cfg.AnswerTime)
	defer cancel()
	for _, turns := range []chan struct{}{q.turns, d.turns} {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		case <-ctx.Done():
			return nil, d.busy(ctx)
		}
	}
	return d.ask(ctx, c.s.Name(), message)
}

// inline is the longest answer that travels in one frame, in bytes.
const inline = 64 << 10

// answer sends a daemon's answer to the worker.
func (c *asking) answer(ctx context.Context, client string, answer []byte) {
	if len(answer) <= inline && c.s.PeerHas(session.FeatureAnswers) {
		payload := append(append(make([]byte, 0, len(client)+1+len(answer)), client...), ' ')
		if _, err := c.s.Request(ctx, cmdInline, append(payload, answer...)); err != nil {
			c.undelivered(client, err)
		}
		return
	}
	id, err := c.s.SendString(ctx, answer)
	if err == nil {
		_, err = c.s.Request(ctx, cmdAnswer, []byte(client+" "+id))
	}
	if err != nil {
		c.undelivered(client, err)
	}
}

// fail reports to the worker that there is no answer, and why.
func (c *asking) fail(ctx context.Context, client, daemon string, why error) {
	if ctx.Err() != nil {
		return
	}
	text := sentence(why)
	c.m.refusals.Log(c.m.log, slog.LevelError,
		fmt.Sprintf("Error in SendSync (parameters {'daemon_name': '%.64s'}): %s", logging.Quote(daemon), logging.Quote(text)),
		slog.String("worker", c.s.Name()))
	if _, err := c.s.Request(ctx, cmdError, []byte(client+" "+text)); err != nil {
		c.undelivered(client, err)
	}
}

// undelivered logs that an answer has not reached its worker.
func (c *asking) undelivered(client string, err error) {
	c.m.refusals.Log(c.m.log, slog.LevelError, "Error sending sendsync response to worker: "+logging.Quote(err.Error()),
		slog.String("worker", c.s.Name()), slog.String("client", logging.Cut(client)))
}

// sentence is an error as the original sends it: printed.
func sentence(err error) string {
	if text, ok := errors.AsType[session.PlainError](err); ok {
		return string(text)
	}
	return fault.From(err).Error()
}
