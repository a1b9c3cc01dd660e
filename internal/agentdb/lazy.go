package agentdb

import (
	"strings"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// Most of what is written is a new last keep-alive, or the mark that an agent is
// to be reported, of many agents each. Such writes are put off to the end of the
// transaction and then done many in a statement, which takes half the time, or left
// to the journal. The values need no check by the table, so that only the transaction as a whole can
// fail.

// lazyWrite is a write that was put off.
type lazyWrite struct {
	id        agent.ID
	keepalive int64
}

// lazyKind says which columns a lazyWrite sets.
type lazyKind uint8

const (
	setKeepalive lazyKind = 1 << iota
	setSynced
	setSyncreq

	lazyKinds = 1 << 3
)

// lazySizes are how many agents one statement takes.
func lazySizes() [2]int { return [2]int{48, 8} }

// touch records for an agent, if it is there, a last keep-alive (noKeepalive
// leaves the old one) and whether it is to be reported.
func (t *tx) touch(id agent.ID, keepalive int64, syncreq bool) error {
	r := t.edit(id)
	if r == nil {
		return nil
	}
	var k lazyKind
	if keepalive != noKeepalive && keepalive != r.keepalive {
		k = setKeepalive
	}
	switch column := r.syncreq != r.lags; {
	case syncreq && !column:
		k |= setSyncreq
	case !syncreq && column:
		k |= setSynced
	}
	if k == 0 {
		r.syncreq, r.lags = syncreq, false // the column says so already
		return nil
	}
	if err := t.settle(id); err != nil {
		return err
	}
	later := k&setKeepalive != 0 && r.keepalive != noKeepalive && keepalive > r.keepalive && t.s.journal.open(t.time)
	if k&setKeepalive != 0 {
		r.keepalive = keepalive
	}
	if later {
		r.syncreq, r.lags = syncreq, false
		t.putLate(id)
		return nil
	}
	r.syncreq, r.lags, r.lazy = syncreq, false, true
	t.lazy[k] = append(t.lazy[k], lazyWrite{id, keepalive})
	return nil
}

// settle does what was put off if the agent is concerned: before a statement
// that writes its row.
func (t *tx) settle(id agent.ID) error {
	if i, ok := t.changed[id]; ok && i >= 0 && t.records[i].lazy {
		return t.settleAll()
	}
	return nil
}

// settleAll does what was put off.
func (t *tx) settleAll() error {
	for k := range t.lazy {
		rest := t.lazy[k]
		if len(rest) == 0 {
			continue
		}
		for _, w := range rest {
			t.records[t.changed[w.id]].lazy = false
		}
		for _, size := range lazySizes() {
			for len(rest) > size || len(rest) > 0 && size == lazySizes()[1] {
				n := min(size, len(rest))
				if err := t.writeLazy(lazyKind(k), rest[:n], size); err != nil {
					return err
				}
				rest = rest[n:]
			}
		}
		t.lazy[k] = t.lazy[k][:0]
	}
	return nil
}

// writeLazy runs one statement for at most size agents. The last one stands for
// those that are missing, so that few different statements are needed.
func (t *tx) writeLazy(k lazyKind, writes []lazyWrite, size int) error {
	same := true
	for _, w := range writes {
		same = same && w.keepalive == writes[0].keepalive
	}
	st, err := t.c.Prepare(t.lazyQuery(k, same, size))
	if err != nil {
		return asQuery(err)
	}
	param := 0
	next := func(n int64) {
		param++
		st.BindInt64(param, n)
	}
	if k&setKeepalive != 0 && same {
		next(writes[0].keepalive)
	}
	eachPadded(writes, size, func(w lazyWrite) {
		if k&setKeepalive != 0 && !same {
			next(int64(w.id))
			next(w.keepalive)
		}
	})
	eachPadded(writes, size, func(w lazyWrite) { next(int64(w.id)) })
	return step(st)
}

func eachPadded(writes []lazyWrite, size int, fn func(lazyWrite)) {
	for i := range size {
		fn(writes[min(i, len(writes)-1)])
	}
}

// lazyKey names a statement.
type lazyKey struct {
	kind lazyKind
	same bool
	size int
}

// lazyQuery returns the text of a statement, and keeps it: there are few.
func (t *tx) lazyQuery(k lazyKind, same bool, size int) string {
	key := lazyKey{k, same, size}
	query, ok := t.queries[key]
	if !ok {
		query = makeLazyQuery(key)
		t.queries[key] = query
	}
	return query
}

func makeLazyQuery(key lazyKey) string {
	var set []string
	switch {
	case key.kind&setKeepalive == 0:
	case key.same:
		set = append(set, "last_keepalive = ?")
	default:
		set = append(set, "last_keepalive = CASE id"+strings.Repeat(" WHEN ? THEN ?", key.size)+" END")
	}
	if key.kind&setSynced != 0 {
		set = append(set, "sync_status = 'synced'")
	}
	if key.kind&setSyncreq != 0 {
		set = append(set, "sync_status = 'syncreq'")
	}
	return "UPDATE agent SET " + strings.Join(set, ", ") +
		" WHERE id IN (?" + strings.Repeat(", ?", key.size-1) + ")"
}

// resetLazy forgets what was put off.
func (t *tx) resetLazy() {
	for k := range t.lazy {
		t.lazy[k] = t.lazy[k][:0]
	}
}

// step runs a prepared statement that has no rows.
func step(st *sqlitedb.Stmt) error {
	_, err := st.Step()
	return asQuery(err)
}
