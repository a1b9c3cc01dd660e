package agentdb

import (
	"context"
	"math"

	"testudo/internal/agent"
)

// nodesAtOnce is how many agents EachNode looks at while the writer waits.
const nodesAtOnce = 4096

// EachNode calls f with the node that agents report to, "" or "unknown" for none:
// of the agents of ids that exist, in that order, or of all by ascending id when
// ids is nil. The manager itself is among all. It does not look at the file. f must
// not use the store.
func (s *Store) EachNode(ctx context.Context, ids []agent.ID, f func(id agent.ID, node string)) error {
	if ids == nil {
		return s.eachNode(ctx, f)
	}
	for len(ids) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		piece := ids[:min(len(ids), nodesAtOnce)]
		ids = ids[len(piece):]
		s.roster.mu.RLock()
		for _, id := range piece {
			if b, i, ok := s.roster.findLocked(id); ok {
				f(id, s.roster.nodeLocked(s.roster.blocks[b].at(i)))
			}
		}
		s.roster.mu.RUnlock()
	}
	return nil
}

func (s *Store) eachNode(ctx context.Context, f func(id agent.ID, node string)) error {
	last, more := agent.ID(math.MinInt32), true
	for more {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		more = s.roster.nodesAfter(&last, f)
	}
	return nil
}

// nodesAfter goes on behind last for a piece.
func (r *roster) nodesAfter(last *agent.ID, f func(id agent.ID, node string)) (more bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	seen := 0
	for p := range r.afterLocked(*last) {
		f(p.id(), r.nodeLocked(p))
		*last = p.id()
		if seen++; seen == nodesAtOnce {
			return true
		}
	}
	return false
}

// Size is how many agents there are, the manager among them. It does not look at
// the file.
func (s *Store) Size() int {
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	return s.roster.size
}
