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

	// regroups is another one with each change of the groups that is to be sent out.
	regroups uint32

	// print is a fingerprint of the columns that rarely change and of the labels,
	// as they were last written together; 0 is unknown.
	print uint64

	// told is the fingerprint of what the master has confirmed to have of these, for
	// as long as it is so; 0 for nothing.
	told uint64
}

// roster holds all agents. It is written by the writer alone, which may read it
// without the lock, and read by all.
type roster struct {
	mu     sync.RWMutex
	blocks []*block // by ascending id
	size   int
	seq    uint64

	nodes, versions, groups dictionary // they count the agents by status as well

	lagging atomic.Int64 // rows with lags
}

func newRoster() *roster {
	return &roster{nodes: newDictionary(), versions: newDictionary(), groups: newDictionary()}
}

// statusNumber is the place of a status in statusCounts; the table lets no other in.
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
	return r.unpackLocked(r.blocks[b].at(i)), true
}

// findLocked returns where the agent is, or where it would be put.
func (r *roster) findLocked(id agent.ID) (b, i int, ok bool) {
	// The first block that begins behind id, less one.
	b = sort.Search(len(r.blocks), func(k int) bool { return r.blocks[k].ids[0] > id }) - 1
	if b < 0 {
		return 0, 0, false
	}
	i, ok = slices.BinarySearch(r.blocks[b].ids, id)
	return b, i, ok
}

func (r *roster) unpackLocked(p place) record {
	return record{
		id: p.id(), status: p.status(), hasIP: p.hasIP, syncreq: p.syncreq, regroup: p.regroup, lags: p.lags, code: p.code,
		name: p.name(), ip: p.ip(), node: r.nodeLocked(p), version: r.versionLocked(p), group: r.groupLocked(p),
		keepalive: p.keepalive, added: p.added, gone: p.gone, seq: p.seq, regroups: p.regroups, print: p.print, told: p.told,
	}
}

func (r *roster) nodeLocked(p place) string    { return r.nodes.text(p.b.nodes[p.i]) }
func (r *roster) versionLocked(p place) string { return r.versions.text(p.b.versions[p.i]) }
func (r *roster) groupLocked(p place) string   { return r.groups.text(p.b.groups[p.i]) }

// packLocked writes a record in its place, over an older one or none.
func (r *roster) packLocked(p place, c *record) {
	b, i := p.b, p.i
	b.statuses[i] = statusNumber(c.status)
	r.nodes.change(&b.nodes[i], c.node)
	r.versions.change(&b.versions[i], c.version)
	r.groups.change(&b.groups[i], c.group)
	b.rename(i, c.name)
	b.ips.set(i, c.ip)
	*p.row = row{
		hasIP: c.hasIP, syncreq: c.syncreq, regroup: c.regroup, lags: c.lags, code: c.code,
		keepalive: c.keepalive, added: c.added, gone: c.gone, seq: c.seq, regroups: c.regroups, print: c.print, told: c.told,
	}
}

// putLocked takes in a record, new or changed.
func (r *roster) putLocked(c *record) {
	b, i, ok := r.findLocked(c.id)
	if !ok {
		b, i = r.insertLocked(b, i, c.id)
	} else {
		r.countLocked(r.blocks[b].at(i), -1)
	}
	p := r.blocks[b].at(i)
	r.packLocked(p, c)
	r.countLocked(p, +1)
}

// insertLocked makes an empty row for a new id where findLocked has put it.
func (r *roster) insertLocked(b, i int, id agent.ID) (int, int) {
	if len(r.blocks) == 0 {
		r.blocks = append(r.blocks, newBlock(0))
	}
	if full := r.blocks[b]; len(full.ids) >= blockRows {
		if b == len(r.blocks)-1 && i == len(full.ids) {
			// Ids are given in ascending order: leave the full block as it is.
			r.blocks = append(r.blocks, newBlock(blockRows))
			r.blocks[b+1].names.all.Grow(full.names.all.Len()) // the next ones are alike
			r.blocks[b+1].ips.all.Grow(full.ips.all.Len())
			b, i = b+1, 0
		} else {
			b, i = r.splitLocked(b, i)
		}
	}
	r.blocks[b].insert(i, id)
	r.nodes.take("")
	r.versions.take("")
	r.groups.take("")
	r.size++
	return b, i
}

// splitLocked halves a full block and returns the place of i.
func (r *roster) splitLocked(b, i int) (int, int) {
	r.blocks = slices.Insert(r.blocks, b+1, r.blocks[b].split())
	if half := len(r.blocks[b].ids); i > half {
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
	r.countLocked(at.at(i), -1)
	r.nodes.drop(at.nodes[i])
	r.versions.drop(at.versions[i])
	r.groups.drop(at.groups[i])
	at.remove(i)
	if len(at.ids) == 0 {
		r.blocks = slices.Delete(r.blocks, b, b+1)
	}
	r.size--
}

// countLocked adds an agent to the counts, or takes it away.
func (r *roster) countLocked(p place, by int) {
	p.count(p.b, by)
	if p.lags {
		r.lagging.Add(int64(by))
	}
	if p.id() == agent.Manager {
		return
	}
	status := p.b.statuses[p.i]
	r.nodes.entries[p.b.nodes[p.i]].agents[status] += by
	r.versions.entries[p.b.versions[p.i]].agents[status] += by
	r.groups.entries[p.b.groups[p.i]].agents[status] += by
}

// afterLocked yields the agents with ids above the given one, ascending.
func (r *roster) afterLocked(id agent.ID) iter.Seq[place] {
	return func(yield func(place) bool) {
		b, i, ok := r.findLocked(id)
		if ok {
			i++
		}
		for ; b < len(r.blocks); b, i = b+1, 0 {
			for at := r.blocks[b]; i < len(at.ids); i++ {
				if !yield(at.at(i)) {
					return
				}
			}
		}
	}
}

// pendingLocked yields the agents above id that are to be reported.
func (r *roster) pendingLocked(id agent.ID) iter.Seq[place] {
	return func(yield func(place) bool) {
		for _, b := range r.blocks {
			if b.pending == 0 || b.last() <= id {
				continue
			}
			for i := range b.rows {
				if p := b.at(i); p.syncreq && p.id() > id && !yield(p) {
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
