package agentdb

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// Of most agents nothing but the last keep-alive and the status is new. A worker
// of ours then reports these in brief, with the fingerprint of all else: the
// master, ours as well, takes them if it has the row with that fingerprint, and
// asks for the others whole (docs/extensions.md).

// briefRow is one agent of a brief report.
type briefRow struct {
	id              agent.ID
	status          agent.Status
	keepalive, gone int64 // or noKeepalive
	code            int32 // or noCode
	print           uint64
}

// PendingBrief returns the agents above an id that are to be reported and can be
// in brief, at most max of them, as SetBrief takes them; nil when there are none.
// last is the highest id among them.
//
// confirm is for when the master has answered: refused are those that it wants
// whole, which PendingWhole gives then. The others are marked as reported unless
// they have changed since.
func (s *Store) PendingBrief(ctx context.Context, after agent.ID, max int) (list []byte, last agent.ID, confirm func(ctx context.Context, refused []agent.ID) error, err error) {
	if ctx.Err() != nil {
		return nil, after, nil, context.Cause(ctx)
	}
	var due []dueAgent
	last = after
	s.roster.mu.RLock()
	for p := range s.roster.pendingLocked(after) {
		if len(due) == max {
			break
		}
		if p.told != 0 {
			due, last = append(due, dueAgent{id: p.id(), seq: p.seq, print: p.told}), p.id()
			list = appendBrief(list, &briefRow{id: p.id(), status: p.status(), keepalive: p.keepalive, gone: p.gone, code: p.code, print: p.told})
		}
	}
	s.roster.mu.RUnlock()
	confirm = func(ctx context.Context, refused []agent.ID) error {
		slices.Sort(refused)
		return s.confirmEach(ctx, due, func(t *tx, d dueAgent) {
			if _, no := slices.BinarySearch(refused, d.id); no {
				t.edit(d.id).told = 0
			} else {
				t.mark(d.id, false)
			}
		})
	}
	return list, last, confirm, nil
}

// PendingWhole returns the other agents above an id that are to be reported, at
// most max of them, as PendingInfo does. What is confirmed can be reported in brief
// from then on.
func (s *Store) PendingWhole(ctx context.Context, after agent.ID, max int) (chunks [][]byte, last agent.ID, confirm func(context.Context) error, err error) {
	var due []dueAgent
	last = after
	s.roster.mu.RLock()
	for p := range s.roster.pendingLocked(after) {
		if len(due) == max {
			break
		}
		if p.told == 0 {
			due, last = append(due, dueAgent{id: p.id(), seq: p.seq}), p.id()
		}
	}
	s.roster.mu.RUnlock()
	if err := s.catchUpDue(ctx, due); err != nil {
		return nil, after, nil, err
	}
	if len(due) > 0 {
		err = s.read(ctx, func(c *sqlitedb.Conn) (err error) {
			chunks, err = pendingChunks(c, due, true)
			return err
		})
	}
	confirm = func(ctx context.Context) error {
		return s.confirmEach(ctx, due, func(t *tx, d dueAgent) {
			t.mark(d.id, false)
			t.edit(d.id).told = d.print
		})
	}
	return chunks, last, confirm, err
}

// print takes down the fingerprint of an agent's text.
func (r *report) print(d *dueAgent, text []byte) {
	if !r.printed {
		return
	}
	scan := scanner{text: string(text), sound: true}
	if scan.infoRow(&r.row) {
		d.print = r.row.fingerprint()
	}
}

// appendBrief appends one agent: id, last keep-alive, first letter of the status,
// time of disconnection, status code and fingerprint.
func appendBrief(dst []byte, r *briefRow) []byte {
	dst = append(strconv.AppendInt(dst, int64(r.id), 10), ' ')
	dst = append(appendTime(dst, r.keepalive), ' ', r.status[0], ' ')
	dst = append(appendTime(dst, r.gone), ' ')
	if r.code == noCode {
		dst = append(dst, '-')
	} else {
		dst = strconv.AppendInt(dst, int64(r.code), 10)
	}
	return append(strconv.AppendUint(append(dst, ' '), r.print, 16), ';')
}

func appendTime(dst []byte, at int64) []byte {
	if at == noKeepalive {
		return append(dst, '-')
	}
	return strconv.AppendInt(dst, at, 10)
}

// readBrief reads what appendBrief has written of many agents.
func readBrief(list []byte) ([]briefRow, error) {
	rows := make([]briefRow, 0, bytes.Count(list, []byte{';'}))
	for len(list) > 0 {
		text, rest, ok := bytes.Cut(list, []byte{';'})
		var r briefRow
		if !ok || !r.read(text) {
			return nil, ErrSyntax
		}
		rows, list = append(rows, r), rest
	}
	return rows, nil
}

func (r *briefRow) read(text []byte) bool {
	var fields [6]string
	for i := range fields {
		field, rest, more := bytes.Cut(text, []byte{' '})
		if more != (i < len(fields)-1) {
			return false
		}
		fields[i], text = string(field), rest
	}
	id, err := strconv.ParseInt(fields[0], 10, 32)
	keepalive, err2 := readTime(fields[1])
	gone, err3 := readTime(fields[3])
	code, err4 := int64(noCode), error(nil)
	if fields[4] != "-" {
		code, err4 = strconv.ParseInt(fields[4], 10, 32)
	}
	print, err5 := strconv.ParseUint(fields[5], 16, 64)
	for _, s := range agent.Statuses() {
		if fields[2] == string(s[0]) {
			r.status = s
		}
	}
	if errors.Join(err, err2, err3, err4, err5) != nil || r.status == "" || print == 0 {
		return false
	}
	r.id, r.keepalive, r.gone, r.code, r.print = agent.ID(id), keepalive, gone, int32(code), print
	return true
}

// readTime reads a time, which travels as other reports' numbers do.
func readTime(text string) (int64, error) {
	if text == "-" {
		return noKeepalive, nil
	}
	at, err := strconv.ParseInt(text, 10, 32)
	return at, err
}

// SetBrief takes in a brief report. It is ErrSyntax, and nothing is written, for
// what is none. refused are the agents of which something else is new as well, or
// may be: they are to be reported whole. Agents that are not there are passed
// over.
//
// Rows are stale as in SetSyncInfo; the node is part of the fingerprint, so that
// only those without one can be.
func (s *Store) SetBrief(ctx context.Context, list []byte) (refused []agent.ID, err error) {
	rows, err := readBrief(list)
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(rows, piece) {
		var whole []agent.ID
		err := s.writeLazily(ctx, func(t *tx) error {
			whole = whole[:0]
			for i := range some {
				taken, err := t.setBrief(&some[i])
				if err != nil {
					return err
				}
				if !taken {
					whole = append(whole, some[i].id)
				}
			}
			return nil
		})
		if err != nil {
			return refused, err
		}
		refused = append(refused, whole...)
	}
	return refused, nil
}

func (t *tx) setBrief(r *briefRow) (taken bool, err error) {
	ours, known := t.get(r.id)
	switch {
	case !known:
		return true, nil
	case ours.print != r.print:
		return false, nil
	case !isNode(ours.node) && t.isBefore(r.keepalive, ours.keepalive):
		return true, nil
	case ours.status == r.status && ours.gone == r.gone && ours.code == r.code && r.keepalive != noKeepalive:
		return true, t.touch(r.id, r.keepalive, false)
	}
	if err := t.settle(r.id); err != nil {
		return false, err
	}
	st, err := t.c.Prepare(setFastQuery)
	if err != nil {
		return false, asQuery(err)
	}
	bindTime(st, 1, r.keepalive)
	st.BindText(2, string(r.status))
	bindTime(st, 3, r.gone)
	if r.code == noCode {
		st.BindNull(4)
	} else {
		st.BindInt64(4, int64(r.code))
	}
	st.BindInt64(5, int64(r.id))
	if err := step(st); err != nil {
		return false, err
	}
	c := t.edit(r.id)
	c.keepalive, c.gone, c.code = r.keepalive, r.gone, r.code
	c.setStatus(string(r.status), synced)
	return true, nil
}

func bindTime(st *sqlitedb.Stmt, param int, at int64) {
	if at == noKeepalive {
		st.BindNull(param)
		return
	}
	st.BindInt64(param, at)
}
