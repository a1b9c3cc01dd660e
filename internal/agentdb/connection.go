package agentdb

import (
	"context"
	"fmt"
	"strconv"

	"testudo/internal/agent"
)

// The reasons for a disconnection that this package gives (status_code,
// docs/agentdb.md §7.1).
const (
	codeSilent = 4
	codeReset  = 5
)

// DisconnectError is returned by DisconnectAgents when agents could not be set to
// disconnected. JSON is the list of these agents; the others are disconnected.
type DisconnectError struct {
	JSON []byte
	err  error
}

// Error names the agents.
func (e *DisconnectError) Error() string {
	return fmt.Sprintf("agents cannot be set to disconnected: %s: %v", e.JSON, e.err)
}

// Unwrap is the error of the first of them.
func (e *DisconnectError) Unwrap() error { return e.err }

// DisconnectAgents sets those agents above an id to disconnected that are active
// or pending and were last seen before a time (seconds since 1970), as many as
// the page of their ids holds.
func (s *Store) DisconnectAgents(ctx context.Context, after agent.ID, before int64, sync string) (Page, error) {
	var page Page
	err := s.writeFresh(ctx, false, func(t *tx) error {
		silent, ids := newPager(), []agent.ID(nil)
		s.roster.mu.RLock()
		for p := range s.roster.afterLocked(after) {
			status := p.status()
			if status != agent.Active && status != agent.Pending || p.keepalive == noKeepalive || p.keepalive >= before {
				continue
			}
			if !silent.add(func(dst []byte) []byte { return appendID(dst, p.id()) }) {
				break
			}
			ids = append(ids, p.id())
		}
		s.roster.mu.RUnlock()
		failed, first := newPager(), error(nil)
		for _, id := range ids {
			if err := t.disconnect(id, sync, codeSilent); err != nil {
				failed.add(func(dst []byte) []byte { return appendID(dst, id) })
				first = keepFirst(first, err)
			}
		}
		if first != nil {
			return &DisconnectError{JSON: failed.page().JSON, err: first}
		}
		page = silent.page()
		return nil
	})
	return page, err
}

func keepFirst(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

func appendID(dst []byte, id agent.ID) []byte {
	return append(strconv.AppendInt(append(dst, `{"id":`...), int64(id), 10), '}')
}

// disconnect sets one agent to disconnected, now.
func (t *tx) disconnect(id agent.ID, sync string, code int64) error {
	err := t.exec("UPDATE agent SET connection_status = 'disconnected', disconnection_time = ?1, status_code = ?2,"+
		" sync_status = ?3 WHERE id = ?4", t.time, code, sync, int64(id))
	if err != nil {
		return err
	}
	if r := t.edit(id); r != nil {
		r.gone, r.code = t.time, int32(code)
		r.setStatus(string(agent.Disconnected), sync)
	}
	return nil
}

// piece is how many agents are changed in one operation where all may be
// concerned, so that others get their turn in between.
const piece = 512

// ResetConnections sets all agents but 0 to disconnected that are active or
// pending: what a node does at its start. Other changes may come in between.
func (s *Store) ResetConnections(ctx context.Context, sync string) error {
	if sync != synced && sync != syncReq {
		return s.refuseSync(ctx, sync)
	}
	connected := func(p place) bool {
		status := p.status()
		return p.id() != agent.Manager && (status == agent.Active || status == agent.Pending)
	}
	return s.eachPiece(ctx, connected, func(t *tx, id agent.ID) error { return t.disconnect(id, sync, codeReset) })
}

// refuseSync lets the database say what is wrong with a sync_status; it says
// nothing when no agent is concerned.
func (s *Store) refuseSync(ctx context.Context, sync string) error {
	return s.write(ctx, false, func(t *tx) error {
		return t.exec("UPDATE agent SET sync_status = ?1 WHERE id = (SELECT id FROM agent WHERE id <> 0"+
			" AND connection_status NOT IN ('disconnected', 'never_connected') LIMIT 1)", sync)
	})
}

// eachPiece changes every agent that match finds, some at a time. match is asked
// with the roster locked.
func (s *Store) eachPiece(ctx context.Context, match func(place) bool, change func(*tx, agent.ID) error) error {
	for after, more := agent.ID(-1<<31), true; more; {
		err := s.writeFresh(ctx, false, func(t *tx) error {
			var ids []agent.ID
			s.roster.mu.RLock()
			for p := range s.roster.afterLocked(after) {
				if !match(p) {
					continue
				}
				if ids = append(ids, p.id()); len(ids) == piece {
					break
				}
			}
			s.roster.mu.RUnlock()
			for _, id := range ids {
				if err := change(t, id); err != nil {
					return err
				}
			}
			if more = len(ids) == piece; more {
				after = ids[len(ids)-1]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ReportAll marks every agent that reports to the node, and has ever connected,
// as to be reported: for a new session, in which the other end may know nothing.
func (s *Store) ReportAll(ctx context.Context, node string) error {
	number, known := uint32(0), false
	mine := func(p place) bool {
		return known && p.b.nodes[p.i] == number && !p.syncreq && p.id() > agent.Manager &&
			p.status() != agent.NeverConnected
	}
	return s.eachPiece(ctx, func(p place) bool {
		number, known = s.roster.nodes.number(node) // it may have become known, or another
		return mine(p)
	}, func(t *tx, id agent.ID) error {
		t.mark(id, true)
		return nil
	})
}
