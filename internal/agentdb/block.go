package agentdb

import (
	"slices"

	"testudo/internal/agent"
)

// blockRows is how many agents one block holds at most. Adding an agent moves at
// most as many.
const blockRows = 512

// block is a run of agents by ascending id, never empty but while it is made. It
// keeps in columns of their own what lists choose agents by, so that a search
// reads a few bytes of each, and nothing that the garbage collector must follow
// for each agent.
type block struct {
	ids      []agent.ID
	statuses []uint8 // of statusNumber
	nodes    []uint32
	versions []uint32
	groups   []uint32 // numbers in the roster's dictionaries
	names    texts
	ips      texts
	parts    trigrams // of the names, and of some that are gone
	rows     []row

	pending    int // rows with syncreq
	regrouping int // rows with regroup
	lagging    int // rows with lags
}

// row is what no list chooses agents by; see record.
type row struct {
	code        int32
	regroups    uint32
	hasIP       bool
	syncreq     bool
	regroup     bool
	lags        bool
	keepalive   int64
	added, gone int64
	seq         uint64
	print, told uint64
}

// place is where a block has an agent. It is valid as long as the roster is
// locked.
type place struct {
	*row
	b *block
	i int
}

func (b *block) at(i int) place { return place{&b.rows[i], b, i} }

func (p place) id() agent.ID         { return p.b.ids[p.i] }
func (p place) status() agent.Status { return statusOf(p.b.statuses[p.i]) }
func (p place) name() string         { return p.b.names.at(p.i) }
func (p place) ip() string           { return p.b.ips.at(p.i) }

func (b *block) last() agent.ID { return b.ids[len(b.ids)-1] }

// newBlock makes an empty block with room for some agents.
func newBlock(room int) *block {
	return &block{
		ids: make([]agent.ID, 0, room), statuses: make([]uint8, 0, room),
		nodes: make([]uint32, 0, room), versions: make([]uint32, 0, room), groups: make([]uint32, 0, room),
		names: texts{ends: make([]uint32, 0, room)}, ips: texts{ends: make([]uint32, 0, room)},
		rows: make([]row, 0, room),
	}
}

// insert makes room for an agent of whom nothing is known but the id.
func (b *block) insert(i int, id agent.ID) {
	b.ids = slices.Insert(b.ids, i, id)
	b.statuses = slices.Insert(b.statuses, i, 0)
	b.nodes = slices.Insert(b.nodes, i, 0)
	b.versions = slices.Insert(b.versions, i, 0)
	b.groups = slices.Insert(b.groups, i, 0)
	b.names.insert(i)
	b.ips.insert(i)
	b.rows = slices.Insert(b.rows, i, row{})
}

// remove drops an agent.
func (b *block) remove(i int) {
	b.ids = slices.Delete(b.ids, i, i+1)
	b.statuses = slices.Delete(b.statuses, i, i+1)
	b.nodes = slices.Delete(b.nodes, i, i+1)
	b.versions = slices.Delete(b.versions, i, i+1)
	b.groups = slices.Delete(b.groups, i, i+1)
	b.names.remove(i)
	b.ips.remove(i)
	b.rows = slices.Delete(b.rows, i, i+1)
}

// rename sets an agent's name.
func (b *block) rename(i int, name string) {
	if b.names.at(i) != name {
		b.names.set(i, name)
		b.parts.add(name)
	}
}

// split moves the upper half into a new block.
func (b *block) split() *block {
	half := len(b.ids) / 2
	high := &block{
		ids: upper(&b.ids, half), statuses: upper(&b.statuses, half),
		nodes: upper(&b.nodes, half), versions: upper(&b.versions, half), groups: upper(&b.groups, half),
		rows: upper(&b.rows, half),
	}
	b.names.cut(half, &high.names)
	b.ips.cut(half, &high.ips)
	for _, each := range []*block{b, high} {
		each.parts = trigrams{}
		for i := range each.ids {
			each.parts.add(each.names.at(i))
		}
	}
	for i := range high.rows {
		high.rows[i].count(high, +1)
		high.rows[i].count(b, -1)
	}
	return high
}

// upper takes what is from i on out of a column.
func upper[T any](column *[]T, i int) []T {
	high := append(make([]T, 0, blockRows), (*column)[i:]...)
	*column = (*column)[:i]
	return high
}

// count adds a row to its block's counts, or takes it away.
func (p *row) count(b *block, by int) {
	if p.syncreq {
		b.pending += by
	}
	if p.regroup {
		b.regrouping += by
	}
	if p.lags {
		b.lagging += by
	}
}
