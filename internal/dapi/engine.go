package dapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/result"
	"testudo/internal/runners"
	"testudo/internal/session"
)

// Config is what both ends need.
type Config struct {
	Node     string    // our name
	Ready    Readiness // which daemons a function may rely on
	Fallback Fallback  // for functions that the registry does not have; nil for none
	Single   bool      // distributed_api.enabled is false: each node runs what it is asked

	Queue        QueueConfig
	Timeout      time.Duration // until an asker gives up (timeout_dapi_request); 0 means 200 s
	RequestBytes int           // of one request; 0 means 32 MiB
	AnswerBytes  int64         // of all answers held at once; 0 means 100 MiB
	Owed         int           // requests that one other node has not answered yet; 0 means 1,024

	Log     *slog.Logger
	Metrics *metrics.Set
}

// owedBytes bounds the requests that one other node has not answered yet.
const owedBytes = 64 << 20

func (c Config) withDefaults() Config {
	c.Queue = c.Queue.withDefaults()
	c.Timeout = cmp.Or(c.Timeout, 200*time.Second)
	c.RequestBytes = cmp.Or(c.RequestBytes, 32<<20)
	c.AnswerBytes = cmp.Or(c.AnswerBytes, 100<<20)
	c.Owed = cmp.Or(c.Owed, 1024)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With(logging.Task(task))
	return c
}

// engine is what the two ends have in common: it answers requests within
// bounds.
type engine struct {
	cfg      Config
	master   bool
	registry *Registry
	ready    readiness
	gate     gate
	slots    slots
	answers  answers
	recent   ring
	again    again
	refusals session.Refusals

	// spread answers a request of type distributed_master; nil on a worker.
	spread func(context.Context, *job) reply

	life    context.Context // of functions that outlive their asker
	end     context.CancelFunc
	running *runners.Runners
}

// mostIdle is how many goroutines wait for another function.
const mostIdle = 16

func newEngine(cfg Config, master bool, r *Registry) *engine {
	cfg = cfg.withDefaults()
	e := &engine{
		cfg: cfg, master: master, registry: r,
		ready:   readiness{Readiness: cfg.Ready},
		gate:    gate{cfg: cfg.Queue},
		slots:   slots{cfg: cfg.Queue, metrics: cfg.Metrics},
		answers: answers{most: cfg.AnswerBytes},
	}
	e.life, e.end = context.WithCancel(context.Background())
	e.running = runners.New(e.life, mostIdle)
	return e
}

// Close ends all functions that run and waits for them. It is called when
// nobody asks any more.
func (e *engine) Close() {
	e.end()
	e.running.Wait()
}

// refuse logs what another node or process answered that cannot be used.
func (e *engine) refuse(j *job, what string, err error) {
	e.refusals.Log(e.cfg.Log, slog.LevelError, "Error in distributed API: "+what+": "+logging.Quote(err.Error()),
		slog.String("function", logging.Cut(j.Function.Key())))
}

// job is a request that this node answers.
type job struct {
	*Request
	id    string // as its asker calls it
	asker string // node's name, or local
	from  origin
	seen  *Record
}

// errAskerGone is the end of work for which nobody waits any more.
var errAskerGone = errors.New("the asker has gone")

// answer answers a request. The error is that of one that could not be run,
// which a function's error is not. release gives back the room of the answer
// once it has been handed on.
func (e *engine) answer(ctx context.Context, id, asker string, from origin, request []byte) (data session.Pieces, release func(), err error) {
	r, err := e.again.decode(request, e.cfg.RequestBytes)
	if err != nil {
		e.refusals.Log(e.cfg.Log, slog.LevelError, "Error in DAPI request: "+logging.Quote(err.Error()))
		return nil, nil, err
	}
	j := &job{Request: r, id: id, asker: asker, from: from}
	j.seen = &Record{ID: id, From: cmp.Or(asker, e.cfg.Node), Function: r.Function.Key(), Began: time.Now()}
	defer e.recent.add(j.seen)
	e.logReceived(j)
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.Timeout, fault.New(fault.APITimeout, nil))
	defer cancel()
	given := e.reply(ctx, j)
	j.seen.Gone = ctx.Err() != nil && !fault.Has(context.Cause(ctx), fault.APITimeout)
	if given.raw == nil {
		given = e.written(j, given)
	}
	e.finished(j, given)
	return given.raw, given.done, nil
}

// written writes an outcome.
func (e *engine) written(j *job, r reply) reply {
	data := session.Pieces(r.outcome.Pieces())
	r.done() // what it holds is what data holds
	release, err := e.answers.hold(j.asker, data.Len())
	if err != nil {
		r.outcome = e.failed(j.Request, err)
		return reply{outcome: r.outcome, raw: r.outcome.Pieces()}
	}
	return reply{outcome: r.outcome, raw: data, release: release}
}

func (e *engine) logReceived(j *job) {
	id := logging.Quote(j.id)
	if j.asker != local {
		id = logging.Quote(j.asker) + " (" + id + ")"
	}
	e.cfg.Log.Info("Receiving request: " + logging.Quote(j.Function.Name) + " from " + id)
}

// reply runs a request where it is to be run.
func (e *engine) reply(ctx context.Context, j *job) reply {
	switch route(e.master, j.from, j.Type, j.FromCluster, e.cfg.Single) {
	case runHere:
		return reply{outcome: e.run(ctx, j)}
	case fanOut:
		return e.spread(ctx, j)
	}
	return reply{outcome: e.failed(j.Request, fmt.Errorf("a request of type %.64q that this node cannot send on", j.Type))}
}

// origin is this node as an error's source.
func (e *engine) origin(r *Request) result.Origin {
	return result.Origin{Node: e.cfg.Node, Readable: r.Permissions.Allows("cluster:read", "node:id:"+e.cfg.Node)}
}

// failed is the outcome of an error on this node. One without a number is
// logged: the answer does not tell it.
func (e *engine) failed(r *Request, err error) result.Outcome {
	var numbered *fault.Error
	if !errors.As(err, &numbered) && !errors.Is(err, context.Canceled) && !errors.Is(err, errAskerGone) {
		e.refusals.Log(e.cfg.Log, slog.LevelError, "Error in distributed API: "+logging.Quote(err.Error()),
			slog.String("function", logging.Cut(r.Function.Key())))
	}
	return result.Outcome{Err: e.origin(r).Blame(err)}
}

// finished writes down how a request went.
func (e *engine) finished(j *job, r reply) {
	j.seen.Took, j.seen.Bytes = time.Since(j.seen.Began), r.raw.Len()
	name, how := "other", "ok"
	if e.registry.find(j.Function) != nil {
		name = j.Function.Key()
	}
	if err := r.outcome.Err; err != nil {
		j.seen.Code, how = int(err.Code), "error"
		if err.Code == fault.Busy {
			how = "busy"
		}
	}
	e.cfg.Metrics.DAPIRequest(name, how, j.seen.Took.Seconds())
	if !e.cfg.Log.Enabled(e.life, slog.LevelDebug) {
		return
	}
	for _, hop := range j.seen.Hops {
		e.cfg.Log.Debug("Answer of a node", "node", logging.Cut(hop.Node), "id", logging.Cut(j.id), "there", hop.ID,
			"took", hop.Took, "code", hop.Code)
	}
	e.cfg.Log.Debug("Answered request", "function", logging.Cut(j.Function.Key()), "id", logging.Cut(j.id),
		"took", j.seen.Took, "bytes", j.seen.Bytes, "code", j.seen.Code)
}
