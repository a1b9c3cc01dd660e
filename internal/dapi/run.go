package dapi

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/result"
)

// run runs a request's function on this node (docs/dapi.md §6).
func (e *engine) run(ctx context.Context, j *job) result.Outcome {
	dropStar(j.Request)
	f := e.registry.find(j.Function)
	if f == nil && e.cfg.Fallback == nil {
		return e.failed(j.Request, fault.New(fault.Unspecified, "the function "+j.Function.Key()+" is not there on this node"))
	}
	if f != nil && (f.Async != j.Async || f.Client != j.ClientArg) {
		return e.failed(j.Request, &ArgumentError{f.Key(), "is_async or local_client_arg is another"})
	}
	if err := e.ready.check(j.Request, e.origin(j.Request)); err != nil {
		return e.failed(j.Request, err)
	}
	key := "" // functions of the other process take turns as one
	if f != nil {
		key = f.Key()
	}
	release, err := e.slots.acquire(ctx, j.asker, key)
	if err != nil {
		return e.failed(j.Request, err)
	}
	return e.within(ctx, j, f, release)
}

// dropStar removes agent_list when it means all agents.
func dropStar(r *Request) {
	if string(r.Args.Get(argAgents)) == `"*"` {
		remove(&r.Args, argAgents)
	}
}

func remove(o *result.Object, name string) {
	kept := make(result.Object, 0, len(*o))
	for _, m := range *o {
		if m.Name != name {
			kept = append(kept, m)
		}
	}
	*o = kept
}

// within waits for a function until its time is over. One that goes on keeps
// its slot.
func (e *engine) within(ctx context.Context, j *job, f *Function, release func()) result.Outcome {
	var cancel context.CancelFunc
	if j.Wait {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeoutCause(ctx, j.Timeout, fault.New(fault.APITimeout, nil))
	}
	defer cancel()
	done := make(chan result.Outcome, 1)
	e.running.Go(func() {
		defer release()
		if f == nil {
			done <- e.fallBack(ctx, j)
			return
		}
		done <- e.call(ctx, j, f)
	})
	var why error
	select {
	case o := <-done:
		return o
	case <-ctx.Done():
		why = context.Cause(ctx)
	case <-e.life.Done():
		why = e.life.Err()
	}
	select {
	case o := <-done:
		return o
	default:
		return e.failed(j.Request, why)
	}
}

// call runs a function and makes an outcome of what it gives.
func (e *engine) call(ctx context.Context, j *job, f *Function) (o result.Outcome) {
	defer func() {
		if p := recover(); p != nil {
			e.cfg.Log.Error("Error in distributed API: a function panicked: "+logging.Quote(fmt.Sprint(p)),
				"function", f.Key(), "stack", string(debug.Stack()))
			o = result.Outcome{Err: e.origin(j.Request).Blame(errPanic)}
		}
	}()
	c := &Call{
		Node: e.cfg.Node, Master: e.master, Permissions: j.Permissions, User: j.User,
		Nodes: j.Nodes, Broadcasting: j.Broadcasting, FromCluster: j.FromCluster,
	}
	r, err := f.call(ctx, c, j.Args)
	if err != nil {
		return e.failed(j.Request, causeOf(ctx, err))
	}
	if r == nil {
		return e.failed(j.Request, fault.New(fault.Unspecified, "the function gives no result"))
	}
	return result.Outcome{Result: r}
}

// call runs the function with arguments that were read before.
func (f *Function) call(ctx context.Context, c *Call, args result.Object) (result.Result, error) {
	if f.run != nil {
		return f.run(ctx, c, args)
	}
	return f.Run(ctx, c, args.JSON())
}

// causeOf is why a context ended when that is what the error says.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

var errPanic = errors.New("panic")

// fallBack has another process run the function.
func (e *engine) fallBack(ctx context.Context, j *job) result.Outcome {
	data, err := e.cfg.Fallback.Run(ctx, j.JSON())
	if err != nil {
		return e.failed(j.Request, causeOf(ctx, err))
	}
	o, err := result.Decode(data, e.limits())
	if err != nil {
		e.refuse(j, "the answer of another process", err)
		return e.failed(j.Request, err)
	}
	if o.Err != nil {
		o.Err = e.origin(j.Request).Blame(o.Err)
	}
	return o
}

// limits bound an answer that is decoded.
func (e *engine) limits() result.Limits { return result.Limits{Bytes: int(e.cfg.AnswerBytes)} }
