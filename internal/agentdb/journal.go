package agentdb

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/agent"
)

// Most of what is written is a new last keep-alive of some agent, whose row is
// large and lies anywhere in the file. The journal takes it in the row's place: a
// table to whose end each transaction adds which agents have shown themselves
// when. Rows follow later, each once and many neighbours at a time: after
// marksLater, before somebody reads them, at the end, or when the file is opened
// after a crash.
//
// Of every agent that the journal names, its last entry says what the roster
// says: whatever else changes such an agent makes a new entry. And it never says an
// earlier time than the row, nor any of a row that has none: an agent that another
// program has put in the place of a removed one gets nothing of that one's.

const (
	// journalAgents bounds the journal: how often it may name agents before rows
	// are written at once again.
	journalAgents = 4 << 20
	// journalRests is how long rows are written at once after somebody has read the
	// last keep-alives of many agents, in seconds: who does it once does it again.
	journalRests = 30
)

// journalTable makes a table of our own. agents are ids with commas between them.
const journalTable = "CREATE TABLE IF NOT EXISTS t_keepalive" +
	" (number INTEGER PRIMARY KEY, last_keepalive INTEGER, sync_status TEXT NOT NULL, agents TEXT NOT NULL)"

// journal is what the writer knows of the table. It changes it under the lock,
// under which others read.
type journal struct {
	number int64 // of the last entry
	named  int   // how often the entries name an agent

	// The agents whose rows have yet to follow before the entries up to upTo can
	// go, which name agents upToNamed times.
	queue     []agent.ID
	upTo      int64
	upToNamed int

	mu      sync.RWMutex
	agents  map[agent.ID]inJournal
	behind  atomic.Int64 // rows that are behind
	inUse   atomic.Bool  // agents is not empty
	restTil atomic.Int64 // seconds since 1970
}

// inJournal is an agent that the journal names.
type inJournal struct {
	last   int64 // number of the last entry
	behind bool  // the row does not say what the entry says
}

// journalNews is what a transaction changes of the journal.
type journalNews struct {
	late     map[agent.ID]struct{} // agents with something that the row is not told
	followed map[agent.ID]struct{} // agents whose rows have followed
	entered  []agent.ID
	behind   []bool // of these
	number   int64
	popped   int  // off the queue
	cut      bool // entries up to upTo are gone
}

func newJournal() *journal { return &journal{agents: make(map[agent.ID]inJournal)} }

func (n *journalNews) reset(number int64) {
	if n.late == nil {
		n.late, n.followed = make(map[agent.ID]struct{}), make(map[agent.ID]struct{})
	}
	clear(n.late)
	clear(n.followed)
	n.entered, n.behind = n.entered[:0], n.behind[:0]
	n.number, n.popped, n.cut = number, 0, false
}

// open tells whether rows may be written later.
func (j *journal) open(now int64) bool {
	left := j.restTil.Load() - now
	rests := left > 0 && left <= journalRests // more is of a clock that was set back
	return !rests && j.named < journalAgents
}

// rest has rows written at once for a while.
func (j *journal) rest() { j.restTil.Store(time.Now().Unix() + journalRests) }

func (j *journal) isBehind(id agent.ID) bool {
	if j.behind.Load() == 0 {
		return false
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.agents[id].behind
}

// allBehind returns the agents whose rows are behind, ascending.
func (j *journal) allBehind() (ids []agent.ID) {
	if j.behind.Load() == 0 {
		return nil
	}
	j.mu.RLock()
	for id, a := range j.agents {
		if a.behind {
			ids = append(ids, id)
		}
	}
	j.mu.RUnlock()
	slices.Sort(ids)
	return ids
}

// putLate leaves what the record says of an agent to the journal.
func (t *tx) putLate(id agent.ID) {
	t.news.late[id] = struct{}{}
	delete(t.news.followed, id)
}

const followQuery = "UPDATE agent SET last_keepalive = ?1, sync_status = ?2 WHERE id = ?3"

// follow writes rows that are behind.
func (t *tx) follow(ids []agent.ID) error {
	for _, id := range ids {
		if _, late := t.news.late[id]; !late && !t.s.journal.agents[id].behind {
			continue
		}
		if r, ok := t.get(id); ok {
			st, err := t.c.Prepare(followQuery)
			if err != nil {
				return asQuery(err)
			}
			bindTime(st, 1, r.keepalive)
			st.BindText(2, syncText(r.syncreq))
			st.BindInt64(3, int64(id))
			if err := step(st); err != nil {
				return err
			}
		}
		delete(t.news.late, id)
		t.news.followed[id] = struct{}{}
	}
	return nil
}

func timeOrNil(at int64) any {
	if at == noKeepalive {
		return nil
	}
	return at
}

func syncText(syncreq bool) string {
	if syncreq {
		return syncReq
	}
	return synced
}

// followSome lets the next rows follow, and shortens the journal when they all
// have.
func (t *tx) followSome() error {
	j := t.s.journal
	if len(j.queue) == 0 {
		j.queue, j.upTo, j.upToNamed = slices.Sorted(maps.Keys(j.agents)), j.number, j.named
	}
	some := min(len(j.queue), piece)
	if err := t.follow(j.queue[:some]); err != nil {
		return err
	}
	if some == len(j.queue) {
		if err := t.exec("DELETE FROM t_keepalive WHERE number <= ?1", j.upTo); err != nil {
			return err
		}
		t.news.cut = true
	}
	t.news.popped = some
	return nil
}

// said is what an entry says of its agents.
type said struct {
	keepalive int64
	syncreq   bool
}

// writeJournal makes the entries of a transaction, at its end.
func (t *tx) writeJournal() error {
	entries := make(map[said][]byte)
	for id, i := range t.changed {
		_, late := t.news.late[id]
		if _, named := t.s.journal.agents[id]; i < 0 || !late && !named {
			continue
		}
		r := &t.records[i]
		t.news.entered, t.news.behind = append(t.news.entered, id), append(t.news.behind, late || r.lags)
		r.lags = false
		what := said{r.keepalive, r.syncreq}
		entries[what] = append(strconv.AppendInt(entries[what], int64(id), 10), ',')
	}
	for what, ids := range entries {
		t.news.number++
		err := t.exec("INSERT INTO t_keepalive (number, last_keepalive, sync_status, agents) VALUES (?1, ?2, ?3, ?4)",
			t.news.number, timeOrNil(what.keepalive), syncText(what.syncreq), string(ids[:len(ids)-1]))
		if err != nil {
			return err
		}
	}
	return nil
}

// publish takes over what a committed transaction has changed.
func (j *journal) publish(n *journalNews) {
	j.queue = j.queue[n.popped:]
	if len(n.entered)+len(n.followed) == 0 && !n.cut {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.number = n.number
	j.named += len(n.entered)
	for id := range n.followed {
		if a, named := j.agents[id]; named {
			j.putLocked(id, inJournal{a.last, false})
		}
	}
	if n.cut {
		j.named -= j.upToNamed
		maps.DeleteFunc(j.agents, func(_ agent.ID, a inJournal) bool { return a.last <= j.upTo && !a.behind })
	}
	for i, id := range n.entered {
		j.putLocked(id, inJournal{n.number, j.agents[id].behind || n.behind[i]})
	}
	j.inUse.Store(len(j.agents) > 0)
}

func (j *journal) putLocked(id agent.ID, a inJournal) {
	switch was := j.agents[id].behind; {
	case a.behind && !was:
		j.behind.Add(1)
	case was && !a.behind:
		j.behind.Add(-1)
	}
	j.agents[id] = a
}

// clear is for when the table is empty and all rows have followed.
func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.agents)
	j.behind.Store(0)
	j.inUse.Store(false)
	j.number, j.named, j.queue = 0, 0, nil
}
