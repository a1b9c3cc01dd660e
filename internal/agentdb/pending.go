package agentdb

import (
	"errors"

	"testudo/internal/sqlitedb"
)

// scanFrom is up to how many times more ids than agents a list may span for being
// read in one go rather than agent by agent.
const scanFrom = 8

// chunker divides a report.
type chunker struct {
	chunks [][]byte
	p      *pager
}

// add takes in one agent's text. One that is longer than a chunk gets its own.
func (k *chunker) add(text []byte) {
	row := func(dst []byte) []byte { return append(dst, text...) }
	if k.p != nil && k.p.add(row) {
		return
	}
	k.end()
	k.p = newPagerOf(max(pageLimit, len(text)+4))
	k.p.buf = append(make([]byte, 0, pageLimit+2), '[')
	k.p.add(row)
	k.p.limit = pageLimit
}

func (k *chunker) end() {
	if k.p != nil {
		k.chunks = append(k.chunks, append(k.p.buf, ']'))
		k.p = nil
	}
}

// pendingChunks reads the agents of the list, which is not empty.
// printed fills in their fingerprints.
func pendingChunks(c *sqlitedb.Conn, due []dueAgent, printed bool) ([][]byte, error) {
	r, err := newReport(c)
	if err != nil {
		return nil, err
	}
	k := &chunker{}
	r.printed = printed
	if int(due[len(due)-1].id-due[0].id) < len(due)*scanFrom {
		err = r.scan(due, k)
	} else {
		err = r.lookUp(due, k)
	}
	k.end()
	return k.chunks, err
}

func (r *report) lookUp(due []dueAgent, k *chunker) error {
	var text []byte
	for i := range due {
		var err error
		if text, err = r.appendAgent(text[:0], due[i].id); err != nil {
			return err
		}
		if len(text) > 0 {
			r.print(&due[i], text)
			k.add(text)
		}
	}
	return nil
}

// scan reads the table from end to end, the labels beside it.
func (r *report) scan(due []dueAgent, k *chunker) (err error) {
	labels, err := r.c.Prepare(scanLabels)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, labels.Reset()) }()
	first := due[0].id - 1
	labels.BindInt64(1, int64(first))
	more, err := labels.Step()
	if err != nil {
		return err
	}
	var text []byte
	return notEnough(sqlitedb.Select(r.c, scanReported, func(st *sqlitedb.Stmt) error {
		id := st.ColumnInt64(0)
		for len(due) > 0 && int64(due[0].id) < id {
			due = due[1:]
		}
		if len(due) == 0 {
			return errEnough
		}
		if int64(due[0].id) != id {
			return nil // became due after the list was made
		}
		text = r.agent.appendOpenRow(text[:0], st)
		n := 0
		for more && labels.ColumnInt64(0) <= id {
			if labels.ColumnInt64(0) == id {
				text = r.appendLabel(text, labels, n)
				n++
			}
			if more, err = labels.Step(); err != nil {
				return err
			}
		}
		text = closeAgent(text, n)
		r.print(&due[0], text)
		k.add(text)
		return nil
	}, int64(first)))
}
