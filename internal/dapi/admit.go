package dapi

import (
	"slices"

	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// admit keeps the nodes that the user may read and that are there. Nodes that
// nobody named are left out without a word.
func (p planner) admit(r *Request, out *plan, named bool) error {
	var names []string
	if named {
		names = []string{}
		for _, s := range out.shares {
			if s.node != "" && s.node != noNode {
				names = append(names, s.node)
			}
		}
	}
	connected := p.nodes.Connected()
	known := r.Nodes
	if len(known) == 0 { // nobody has told
		known = connected
	}
	verdict, err := r.Permissions.Filter(rbac.Ask{
		Action: "cluster:read", Type: "node:id", Named: names,
		All: func() ([]string, error) { return known, nil },
	})
	if err != nil {
		return err
	}
	denied := rbac.Denied("node:id", verdict.Denied...)
	if verdict.Refused() && !r.Broadcasting {
		return denied
	}
	if err := out.keep(verdict.Allowed, known, connected, named); err != nil {
		return err
	}
	if len(verdict.Denied) > 0 && !r.RemoveDenied && !r.Broadcasting {
		out.failed = append(out.failed, result.Failure{Err: denied, IDs: fault.TextIDs(verdict.Denied...)})
	}
	return nil
}

// keep leaves the shares of nodes that are allowed, known to the asker and
// connected. One that has gone is an error of the whole request.
func (p *plan) keep(allowed, known, connected []string, named bool) error {
	var kept []share
	var absent []string
	if !named {
		p.shares = nil
		for _, name := range connected {
			if slices.Contains(allowed, name) {
				p.shares = append(p.shares, share{node: name})
			}
		}
		for _, name := range allowed {
			if !slices.Contains(connected, name) {
				return fault.New(fault.NodeAbsent, nil)
			}
		}
		return nil
	}
	for _, s := range p.shares {
		switch {
		case s.node == "" || s.node == noNode:
			kept = append(kept, s)
		case !slices.Contains(allowed, s.node):
		case !slices.Contains(known, s.node):
			absent = append(absent, s.node)
		case !slices.Contains(connected, s.node):
			return fault.New(fault.NodeAbsent, nil)
		default:
			kept = append(kept, s)
		}
	}
	p.shares = kept
	if len(absent) > 0 {
		p.failed = append(p.failed, result.Failure{Err: fault.New(fault.NodeAbsent, nil), IDs: fault.TextIDs(absent...)})
	}
	return nil
}
