package dapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
	"testudo/internal/session"
)

// reply is an answer before it is written: an outcome, or the bytes in which
// another node has given it.
type reply struct {
	outcome result.Outcome
	raw     session.Pieces
	release func() // gives back the room of what it holds; may be nil
}

func (r reply) done() {
	if r.release != nil {
		r.release()
	}
}

// fanOut has a request run by the nodes concerned and merges their answers
// (docs/dapi.md §7).
func (m *Master) fanOut(ctx context.Context, j *job) reply {
	p, err := m.planner.plan(ctx, j.Request)
	if err != nil {
		return reply{outcome: m.failed(j.Request, err)}
	}
	if len(p.shares) == 0 {
		return reply{outcome: result.Outcome{Result: nobody(p.failed)}}
	}
	parts := m.askAll(ctx, j, p.shares)
	if len(parts) == 1 && len(p.failed) == 0 {
		return parts[0]
	}
	if p.named <= 1 {
		for _, part := range parts[1:] {
			part.done()
		}
		parts = parts[:1]
	}
	return m.merge(j, parts, p.failed)
}

// nobody is the answer when no node is left to ask: that of the list of nodes.
func nobody(failed []result.Failure) *result.Affected {
	return &result.Affected{
		Failed:  failed,
		AllMsg:  "All selected nodes information was returned",
		SomeMsg: "Some nodes information was not returned",
		NoneMsg: "No information was returned",
	}
}

// merge folds the answers in the order of their nodes.
func (m *Master) merge(j *job, parts []reply, failed []result.Failure) reply {
	var merged result.Outcome
	for i, part := range parts {
		o := m.decoded(j, part)
		if i == 0 {
			merged = o
			continue
		}
		both := merged.Err == nil && o.Err == nil
		if merged = result.Merge(merged, o); both && merged.Err != nil {
			m.refuse(j, "answers cannot be merged", merged.Err)
			merged = m.failed(j.Request, mergeError{merged.Err})
			break
		}
	}
	if a, ok := merged.Result.(*result.Affected); ok {
		for _, f := range failed {
			a.Fail(f.Err, f.IDs...)
		}
	}
	return reply{outcome: merged, release: func() {
		for _, part := range parts {
			part.done()
		}
	}}
}

// mergeError hides the number of an error of merging: the answer is that of
// any unexpected error.
type mergeError struct{ err error }

func (e mergeError) Error() string { return "merge answers: " + e.err.Error() }

// decoded is the outcome of a part.
func (m *Master) decoded(j *job, part reply) result.Outcome {
	if part.raw == nil {
		return part.outcome
	}
	o, err := result.Decode(part.raw.Join(), m.limits())
	if err != nil {
		m.refuse(j, "the answer of a node", err)
		return m.failed(j.Request, err)
	}
	return o
}

// askAll asks all nodes at once and gives their answers in the order of the
// shares.
func (m *Master) askAll(ctx context.Context, j *job, shares []share) []reply {
	parts := make([]reply, len(shares))
	hops := make([]Hop, len(shares))
	var asking sync.WaitGroup
	for i, s := range shares {
		part := partOf(j.Request, s)
		hops[i].Node = s.node
		asking.Go(func() {
			began := time.Now()
			if s.node == m.cfg.Node {
				parts[i].outcome = m.run(ctx, &job{Request: part, id: j.id, asker: j.asker, from: j.from, seen: j.seen})
			} else {
				parts[i] = m.askNode(ctx, j, part, &hops[i], len(shares) > 1)
			}
			hops[i].Took = time.Since(began)
		})
	}
	asking.Wait()
	j.seen.Hops = append(j.seen.Hops, hops...)
	return parts
}

// partOf is the request as one node gets it: routed, with that node's agents
// in the place of all.
func partOf(r *Request, s share) *Request {
	part := *r
	part.FromCluster = true
	part.Args = append(result.Object(nil), r.Args...)
	if part.Args.Has(argNode) {
		remove(&part.Args, argNode)
	} else {
		remove(&part.Args, argNodes)
	}
	for _, name := range []string{argAgents, argAgent} {
		if part.Args.Has(name) {
			_ = part.Args.Set(name, append([]string{}, s.agents...)) // texts can be encoded
			break
		}
	}
	return &part
}

// askNode sends a part to another node.
func (m *Master) askNode(ctx context.Context, j *job, part *Request, hop *Hop, many bool) reply {
	l := m.link(hop.Node)
	if l == nil {
		return reply{outcome: m.nodeFailed(part, hop, errGone, many)}
	}
	data, release, err := l.ask(ctx, j.asker, part.JSON(), &hop.ID)
	if err != nil {
		return reply{outcome: m.nodeFailed(part, hop, err, many)}
	}
	if !many { // it is the answer, as it is
		return reply{raw: data, release: release}
	}
	o, err := result.Decode(data.Join(), m.limits())
	if err != nil {
		release()
		m.refuse(j, "the answer of a node", err)
		return reply{outcome: m.nodeFailed(part, hop, err, many)}
	}
	if o.Err != nil {
		hop.Code = int(o.Err.Code)
	}
	return reply{outcome: o, release: release}
}

// nodeFailed is the outcome of a node that did not answer. It has the node's
// name as the id that failed, so that it becomes a failed item beside the
// answers of others.
func (m *Master) nodeFailed(r *Request, hop *Hop, err error, many bool) result.Outcome {
	var e *fault.Error
	switch {
	case errors.Is(err, errGone) && !r.Broadcasting && !r.Permissions.Allows("cluster:read", "node:id:"+hop.Node):
		e = rbac.Denied("node:id", hop.Node)
	case errors.Is(err, errGone):
		e = fault.New(fault.UnknownNode, hop.Node)
	case errors.As(err, &e):
		if !many {
			hop.Code = int(e.Code)
			return m.failed(r, err)
		}
	default:
		return m.failed(r, err)
	}
	hop.Code = int(e.Code)
	item := *e
	item.Title, item.Class = e.Class.Title(), fault.ClassBadRequest
	item.IDs = fault.TextIDs(hop.Node)
	return result.Outcome{Err: &item}
}
