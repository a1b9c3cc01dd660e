package agentdb

import (
	"iter"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"testudo/internal/agent"
)

const (
	// blockRows is how many agents one block holds at most. Adding an agent moves
	// at most as many.
	blockRows = 512

	// noKeepalive stands for a time that is NULL.
	noKeepalive = math.MinInt64

	// noCode stands for a status code that is NULL.
	noCode = math.MinInt32
)

// record is what the roster keeps of an agent. An absent text is "".
type record struct {
	id      agent.ID
	status  agent.Status
	hasIP   bool  // the column is not NULL
	syncreq bool  // to be reported (sync_status)
	regroup bool  // its groups are to be sent out (group_sync_status)
	lazy    bool  // in a tx: a write was put off
	lags    bool  // the column sync_status says the opposite of syncreq, see mark
	code    int32 // or noCode
	name    string
	ip      string
	node    string
	version string
	group   string // the text of the groups

	keepalive int64 // seconds since 1970, or noKeepalive
	added     int64 // seconds since 1970
	gone      int64 // seconds since 1970 of the disconnection, 0 for none, or noKeepalive

	// seq grows with each change of what is reported of the agent.
	seq uint64

	// regroups grows with each change of the groups that is to be sent out.
	regroups uint32

	// print is a fingerprint of the columns that rarely change and of the labels,
	// as they were last written together; 0 is unknown.
	print uint64

	// told is the fingerprint of what the master has confirmed to have of these, for
	// as long as it is so; 0 for nothing.
	told uint64
}

// row is a record in little memory.
type row struct {
	id            agent.ID
	code          int32
	node, version uint32 // numbers in names
	group         uint32
	regroups      uint32
	status        uint8
	hasIP         bool
	syncreq       bool
	regroup       bool
	lags          bool
	keepalive     int64
	added, gone   int64
	seq           uint64
	print, told   uint64
	name, ip      string
}

// block is a run of rows by ascending id, never empty.
type block struct {
	rows    []row
	pending int // rows with syncreq
	lagging int // rows with lags
}

// roster holds all agents. It is written by the writer alone and read by all.
type roster struct {
	mu     sync.RWMutex
	blocks []*block
	names  names
	size   int
	seq    uint64

	lagging atomic.Int64             // rows with lags
	counts  map[uint32]*statusCounts // by number of the node; agent 0 apart
}

type statusCounts [4]int

func newRoster() *roster {
	return &roster{names: newNames(), counts: make(map[uint32]*statusCounts)}
}

// statusNumber is the place of a status in counts; the table lets no other in.
func statusNumber(s agent.Status) uint8 {
	switch s {
	case agent.Active:
		return 0
	case agent.Pending:
		return 1
	case agent.Disconnected:
		return 2
	default:
		return 3
	}
}

func statusOf(n uint8) agent.Status {
	switch n {
	case 0:
		return agent.Active
	case 1:
		return agent.Pending
	case 2:
		return agent.Disconnected
	default:
		return agent.NeverConnected
	}
}

// get returns a copy of an agent's record.
func (r *roster) get(id agent.ID) (record, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	b, i, ok := r.findLocked(id)
	if !ok {
		return record{}, false
	}
	return r.unpackLocked(&r.blocks[b].rows[i]), true
}

// findLocked returns where the agent is, or where it would be put.
func (r *roster) findLocked(id agent.ID) (b, i int, ok bool) {
	// The first block that begins behind id, less one.
	b = sort.Search(len(r.blocks), func(k int) bool { return r.blocks[k].rows[0].id > id }) - 1
	if b < 0 {
		return 0, 0, false
	}
	rows := r.blocks[b].rows
	i = sort.Search(len(rows), func(k int) bool { return rows[k].id >= id })
	return b, i, i < len(rows) && rows[i].id == id
}

func (r *roster) unpackLocked(p *row) record {
	return record{
		id: p.id, status: statusOf(p.status), hasIP: p.hasIP, syncreq: p.syncreq, regroup: p.regroup, lags: p.lags, code: p.code,
		name: p.name, ip: p.ip,
		node: r.names.text(p.node), version: r.names.text(p.version), group: r.names.text(p.group),
		keepalive: p.keepalive, added: p.added, gone: p.gone, seq: p.seq, regroups: p.regroups, print: p.print, told: p.told,
	}
}

// packLocked writes a record over a row, which may be empty.
func (r *roster) packLocked(p *row, c *record) {
	old := *p
	*p = row{
		id: c.id, status: statusNumber(c.status), hasIP: c.hasIP, syncreq: c.syncreq, regroup: c.regroup, lags: c.lags, code: c.code,
		name: c.name, ip: c.ip,
		node: r.names.take(c.node), version: r.names.take(c.version), group: r.names.take(c.group),
		keepalive: c.keepalive, added: c.added, gone: c.gone, seq: c.seq, regroups: c.regroups, print: c.print, told: c.told,
	}
	r.dropNamesLocked(&old)
}

func (r *roster) dropNamesLocked(p *row) {
	r.names.drop(p.node)
	r.names.drop(p.version)
	r.names.drop(p.group)
}

// put takes in a record, new or changed.
func (r *roster) putLocked(c *record) {
	b, i, ok := r.findLocked(c.id)
	if !ok {
		b, i = r.insertLocked(b, i, c.id)
	} else {
		r.countLocked(b, &r.blocks[b].rows[i], -1)
	}
	p := &r.blocks[b].rows[i]
	r.packLocked(p, c)
	r.countLocked(b, p, +1)
}

// insertLocked makes an empty row for a new id where findLocked has put it.
func (r *roster) insertLocked(b, i int, id agent.ID) (int, int) {
	r.size++
	if len(r.blocks) == 0 {
		r.blocks = append(r.blocks, &block{})
	}
	if full := r.blocks[b]; len(full.rows) >= blockRows {
		if b == len(r.blocks)-1 && i == len(full.rows) {
			// Ids are given in ascending order: leave the full block as it is.
			r.blocks = append(r.blocks, &block{rows: make([]row, 0, 64)})
			b, i = b+1, 0
		} else {
			b, i = r.splitLocked(b, i)
		}
	}
	at := r.blocks[b]
	at.rows = slices.Insert(at.rows, i, row{id: id})
	return b, i
}

// splitLocked halves a full block and returns the place of i.
func (r *roster) splitLocked(b, i int) (int, int) {
	low := r.blocks[b]
	half := len(low.rows) / 2
	high := &block{rows: append(make([]row, 0, blockRows), low.rows[half:]...)}
	clear(low.rows[half:])
	low.rows = low.rows[:half]
	for k := range high.rows {
		if high.rows[k].syncreq {
			low.pending--
			high.pending++
		}
		if high.rows[k].lags {
			low.lagging--
			high.lagging++
		}
	}
	r.blocks = slices.Insert(r.blocks, b+1, high)
	if i > half {
		return b + 1, i - half
	}
	return b, i
}

// removeLocked drops an agent.
func (r *roster) removeLocked(id agent.ID) {
	b, i, ok := r.findLocked(id)
	if !ok {
		return
	}
	at := r.blocks[b]
	r.countLocked(b, &at.rows[i], -1)
	r.dropNamesLocked(&at.rows[i])
	at.rows = slices.Delete(at.rows, i, i+1)
	if len(at.rows) == 0 {
		r.blocks = slices.Delete(r.blocks, b, b+1)
	}
	r.size--
}

// countLocked adds an agent to the counts, or takes it away.
func (r *roster) countLocked(b int, p *row, by int) {
	if p.syncreq {
		r.blocks[b].pending += by
	}
	if p.lags {
		r.blocks[b].lagging += by
		r.lagging.Add(int64(by))
	}
	if p.id == agent.Manager {
		return
	}
	c := r.counts[p.node]
	if c == nil {
		c = &statusCounts{}
		r.counts[p.node] = c
	}
	c[p.status] += by
	if *c == (statusCounts{}) {
		delete(r.counts, p.node)
	}
}

// afterLocked yields the rows with ids above the given one, ascending.
func (r *roster) afterLocked(id agent.ID) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		b, i, ok := r.findLocked(id)
		if ok {
			i++
		}
		for ; b < len(r.blocks); b, i = b+1, 0 {
			rows := r.blocks[b].rows
			for ; i < len(rows); i++ {
				if !yield(&rows[i]) {
					return
				}
			}
		}
	}
}

// pendingLocked yields the rows above id that are to be reported.
func (r *roster) pendingLocked(id agent.ID) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		for _, b := range r.blocks {
			if b.pending == 0 || b.rows[len(b.rows)-1].id <= id {
				continue
			}
			for i := range b.rows {
				if p := &b.rows[i]; p.syncreq && p.id > id && !yield(p) {
					return
				}
			}
		}
	}
}

// publish brings the roster up to date with a committed transaction.
func (s *Store) publish(t *tx) {
	if t.groups {
		s.groupsChanged.Add(1)
	}
	s.publishForeseen(t)
	if t.reload {
		s.reloadAfterWrite(false)
		s.infoHint.give()
		s.groupsHint.give()
		return
	}
	if len(t.changed) == 0 {
		return
	}
	s.roster.mu.Lock()
	defer s.roster.mu.Unlock()
	for id, i := range t.changed {
		if i < 0 {
			s.roster.removeLocked(id)
			continue
		}
		s.roster.seq++
		t.records[i].seq = s.roster.seq
		s.roster.putLocked(&t.records[i])
		if t.records[i].syncreq {
			s.infoHint.give()
		}
		if t.records[i].regroup {
			s.groupsHint.give()
		}
	}
}
