package agentdb

import (
	"context"
	"strings"

	"testudo/internal/agent"
)

// SetSyncInfo takes in a report: a JSON array of agents as SyncInfo makes it
// (docs/agentdb.md §7.4). It is ErrSyntax for what is not JSON; nothing is written
// then. Something else than an array writes nothing either. The first agent that
// the database refuses ends the work with a QueryError (or ErrLabelID), those
// before it stay written. Agents that are not there are passed over.
//
// The newest wins: a row is passed over, with its labels, when it is stale. That
// is the case only when it and ours do not name the same node, so that the agent
// has moved from one to another, and
//
//   - its last keep-alive is before ours or not given, while ours is; or
//   - the two are of the same second and both name a node, ours says active or
//     pending, and the row says neither: the old node noticed that the agent had
//     gone.
//
// "unknown" is no node: an agent has it until it has told its new node more than
// that it is there.
//
// A last keep-alive of ours that lies ahead of our own clock proves nothing: the
// row is taken. Rows of the node that we know the agent at always apply, whatever
// their times, so that its changes of status do, and a clock set back does no
// harm. Where clocks of nodes differ, a move is seen late by as much at most,
// since the new node's keep-alives go on and the old one's do not.
func (s *Store) SetSyncInfo(ctx context.Context, array []byte) error {
	scan := scanner{text: string(array)}
	if !scan.skip(maxDepth) || scan.peek() != 0 || scan.at != len(scan.text) {
		return ErrSyntax
	}
	scan = scanner{text: scan.text, sound: true}
	if scan.peek() != '[' {
		return nil
	}
	rows, giveBack := s.someRows()
	defer giveBack()
	var failed error
	flush := func() bool {
		if len(rows) > 0 {
			failed = s.writeLazily(ctx, func(t *tx) error { return t.setInfo(rows) })
		}
		rows = rows[:0]
		return failed == nil
	}
	done := scan.array(maxDepth, func() bool {
		rows = rows[:len(rows)+1]
		if !scan.infoRow(&rows[len(rows)-1]) {
			return false
		}
		return len(rows) < cap(rows) || flush()
	})
	if done {
		flush()
	}
	return failed
}

// reportPiece is how many rows of a report are handed to the writer at once.
const reportPiece = 128

// someRows returns an empty slice with room for reportPiece rows.
func (s *Store) someRows() (rows []infoRow, giveBack func()) {
	p, _ := s.rowPool.Get().(*[]infoRow)
	if p == nil {
		p = new(make([]infoRow, 0, reportPiece))
	}
	return *p, func() {
		clear((*p)[:reportPiece]) // they hold parts of the report
		s.rowPool.Put(p)
	}
}

// setInfo applies rows in their order.
func (t *tx) setInfo(rows []infoRow) error {
	for i := range rows {
		if err := t.setAgent(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) setAgent(r *infoRow) error {
	if r.id.kind != number {
		if r.hasLabels {
			return ErrLabelID
		}
		return nil
	}
	id := agent.ID(r.id.number)
	ours, known := t.get(id)
	if !known {
		return t.setLabels(id, r)
	}
	if t.stale(&ours, r) {
		return nil
	}
	print := r.fingerprint()
	if ours.print == print {
		if r.onlyKeepalive(&ours) {
			return t.touch(id, int64(r.columns[colLastKeepalive].number), false)
		}
		return t.setFast(id, r)
	}
	if err := t.settle(id); err != nil {
		return err
	}
	if err := t.setAll(&ours, r); err != nil {
		return err
	}
	if err := t.takeOver(id, r); err != nil {
		return err
	}
	if err := t.setLabels(id, r); err != nil {
		return err
	}
	c := t.edit(id)
	c.rewritten()
	c.print = print
	return nil
}

// stale reports whether a row is older than what we have; see SetSyncInfo.
func (t *tx) stale(ours *record, r *infoRow) bool {
	node := &r.columns[colNodeName]
	named := node.kind == text && isNode(node.text)
	if named && ours.node == node.text {
		return false
	}
	theirs := r.columns[colLastKeepalive].time()
	if theirs != ours.keepalive {
		return t.isBefore(theirs, ours.keepalive)
	}
	return named && isNode(ours.node) && t.proves(theirs) &&
		isConnected(ours.status) && !isConnected(agent.Status(r.columns[colConnectionStatus].text))
}

// isBefore reports whether a last keep-alive is before ours, or not given, while
// ours proves something.
func (t *tx) isBefore(theirs, ours int64) bool {
	return t.proves(ours) && (theirs == noKeepalive || theirs < ours)
}

// proves reports whether a last keep-alive is known and not ahead of our clock.
func (t *tx) proves(keepalive int64) bool { return keepalive != noKeepalive && keepalive <= t.time }

// isNode reports whether a name is that of a node.
func isNode(name string) bool { return name != "" && name != unknownNode }

func isConnected(s agent.Status) bool { return s == agent.Active || s == agent.Pending }

const setFastQuery = "UPDATE agent SET last_keepalive = ?1, connection_status = ?2, disconnection_time = ?3," +
	" status_code = ?4, sync_status = 'synced' WHERE id = ?5"

// setFast writes a row of which only what changes often may be new.
func (t *tx) setFast(id agent.ID, r *infoRow) error {
	if err := t.settle(id); err != nil {
		return err
	}
	st, err := t.c.Prepare(setFastQuery)
	if err != nil {
		return asQuery(err)
	}
	for i := slowColumns; i < allColumns; i++ {
		bind(st, i-slowColumns+1, &r.columns[i])
	}
	st.BindInt64(5, int64(id))
	if err := step(st); err != nil {
		return err
	}
	return t.takeOver(id, r)
}

const setAllColumns = "UPDATE agent SET os_name = ?3, os_version = ?4, os_major = ?5, os_minor = ?6, os_codename = ?7," +
	" os_build = ?8, os_platform = ?9, os_uname = ?10, os_arch = ?11, version = ?12, config_sum = ?13, merged_sum = ?14," +
	" manager_host = ?15, node_name = ?16, group_config_status = ?17, last_keepalive = ?18," +
	" disconnection_time = ?20, status_code = ?21, sync_status = 'synced'"

// rarelyNew are the columns that are written only when they are new, as the index
// in columns: name and address have an index of the table's, and its check of the
// status costs as much as all other columns.
func rarelyNew() [3]int { return [...]int{colName, colIP, colConnectionStatus} }

// isNew reports whether one of these is new.
func (r *infoRow) isNew(col int, ours *record) bool {
	v := &r.columns[col]
	switch col {
	case colName:
		return v.kind != text || v.text != ours.name
	case colIP:
		return v.kind == number || (v.kind == text) != ours.hasIP || v.text != ours.ip
	default:
		return v.kind != text || v.text != string(ours.status)
	}
}

// setAllQuery is the statement for a whole row. Bit i of which says that
// rarelyNew()[i] is written.
func setAllQuery(which int) string {
	query := setAllColumns
	for i, assignment := range [...]string{", name = ?1", ", ip = ?2", ", connection_status = ?19"} {
		if which&(1<<i) != 0 {
			query += assignment
		}
	}
	return query + " WHERE id = ?22"
}

// setAll writes a whole row.
func (t *tx) setAll(ours *record, r *infoRow) error {
	which, same := 0, [allColumns]bool{}
	for i, col := range rarelyNew() {
		if same[col] = !r.isNew(col, ours); !same[col] {
			which |= 1 << i
		}
	}
	if t.setAllQueries[which] == "" {
		t.setAllQueries[which] = setAllQuery(which)
	}
	st, err := t.c.Prepare(t.setAllQueries[which])
	if err != nil {
		return asQuery(err)
	}
	for i := range r.columns {
		if !same[i] {
			bind(st, i+1, &r.columns[i])
		}
	}
	st.BindInt64(22, int64(ours.id))
	return step(st)
}

// takeOver brings an agent's record up to date with a row that was written, whose
// fingerprint it loses if the row is not as agents' rows are.
func (t *tx) takeOver(id agent.ID, r *infoRow) error {
	if !r.usual() {
		return t.readAgain(id)
	}
	c := t.edit(id)
	c.syncreq, c.lags = false, false
	c.name = newer(c.name, &r.columns[colName])
	c.hasIP, c.ip = r.columns[colIP].kind == text, newer(c.ip, &r.columns[colIP])
	c.node = newer(c.node, &r.columns[colNodeName])
	c.version = newer(c.version, &r.columns[colVersion])
	c.status = agent.Status(newer(string(c.status), &r.columns[colConnectionStatus]))
	c.gone, c.keepalive, c.code = r.columns[colDisconnectionTime].time(), r.columns[colLastKeepalive].time(), noCode
	if code := &r.columns[colStatusCode]; code.kind == number {
		c.code = code.number
	}
	return nil
}

// time is the value of a column that holds a time.
func (v *value) time() int64 {
	if v.kind != number {
		return noKeepalive
	}
	return int64(v.number)
}

// onlyKeepalive reports whether of what changes often only the last keep-alive
// may be new.
func (r *infoRow) onlyKeepalive(ours *record) bool {
	status, code := &r.columns[colConnectionStatus], &r.columns[colStatusCode]
	return status.kind == text && status.text == string(ours.status) && code.kind == number && code.number == ours.code &&
		r.columns[colLastKeepalive].kind == number && r.columns[colDisconnectionTime].kind == number &&
		r.columns[colDisconnectionTime].time() == ours.gone
}

// newer is the text of a value, in the memory of the old one if it is the same;
// the value's own is a part of the whole report.
func newer(old string, v *value) string {
	if v.text == old {
		return old
	}
	return strings.Clone(v.text)
}

// usual reports whether numbers are numbers and texts are texts.
func (r *infoRow) usual() bool {
	for i := range r.columns {
		k := r.columns[i].kind
		isNumber := i == colLastKeepalive || i == colDisconnectionTime || i == colStatusCode
		if k == number && !isNumber || k == text && isNumber {
			return false
		}
	}
	return true
}

// setLabels replaces an agent's labels by those of the row, if it has any list.
func (t *tx) setLabels(id agent.ID, r *infoRow) error {
	if !r.hasLabels {
		return nil
	}
	if c := t.edit(id); c != nil {
		c.rewritten()
	}
	if err := t.exec("DELETE FROM labels WHERE id = ?1", int64(id)); err != nil {
		return err
	}
	for i := range r.labels {
		l := &r.labels[i]
		if err := t.addLabel(int64(l.id), l.key, l.value); err != nil {
			return err
		}
		if c := t.edit(agent.ID(l.id)); c != nil {
			c.rewritten()
		}
	}
	return nil
}
