package agentdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// The conditions of a GroupsQuery.
const (
	GroupsNone    = ""            // no agents
	GroupsPending = "sync_status" // those whose groups are to be sent out
	GroupsAll     = "all"
)

// ErrCondition is returned by SyncGroups for a condition that is none of these.
var ErrCondition = errors.New("unknown condition")

// GroupsQuery asks for the groups of agents (docs/agentdb.md §7.6).
type GroupsQuery struct {
	Condition         string   // GroupsNone and so on
	LastID            agent.ID // only ids above it, and above 0
	SetSynced         bool     // what is delivered counts as sent out
	GlobalHash        bool     // the hash over all groups with the last page
	RegistrationDelta int64    // only agents added more than so many seconds ago
}

const (
	// groupsOverhead is what the original counts of a page's text beside the rows,
	// beyond the two brackets.
	groupsOverhead = 7

	// groupsCandidates is how many agents are looked at at once: more than fit a
	// page.
	groupsCandidates = 3200
)

// SyncGroups is one page [{"data":[{"id":1,"groups":["default"]},…],"hash":…}].
// When the hash does not fit behind the last agents it comes with the next page.
func (s *Store) SyncGroups(ctx context.Context, q GroupsQuery) (Page, error) {
	switch q.Condition {
	case GroupsNone, GroupsPending, GroupsAll:
	default:
		return Page{}, fmt.Errorf("%w %q", ErrCondition, q.Condition)
	}
	var page Page
	if !q.SetSynced || q.Condition == GroupsNone {
		err := s.read(ctx, func(c *sqlitedb.Conn) (err error) {
			page, _, err = s.groupsPage(c, q, time.Now().Unix())
			return err
		})
		return page, err
	}
	err := s.writeFresh(ctx, true, func(t *tx) error {
		p, ids, err := s.groupsPage(t.c, q, t.time)
		if err != nil {
			return asQuery(err)
		}
		page = p
		for _, id := range ids {
			if err := t.setRegrouped(id); err != nil {
				return asQuery(err)
			}
		}
		return nil
	})
	return page, err
}

// setRegrouped says that an agent's groups need not be sent out.
func (t *tx) setRegrouped(id agent.ID) error {
	if r, ok := t.get(id); !ok || !r.regroup {
		return nil
	}
	st, err := t.c.Prepare("UPDATE agent SET group_sync_status = 'synced' WHERE id = ?1")
	if err != nil {
		return err
	}
	st.BindInt64(1, int64(id))
	if _, err := st.Step(); err != nil {
		return err
	}
	if r := t.edit(id); r != nil {
		r.regroup = false
	}
	return nil
}

// groupsPage makes one page and returns the ids on it.
func (s *Store) groupsPage(c *sqlitedb.Conn, q GroupsQuery, now int64) (page Page, ids []agent.ID, err error) {
	w, err := newGroupPage(c)
	if err != nil {
		return Page{}, nil, err
	}
	after := max(q.LastID, agent.Manager)
	for q.Condition != GroupsNone && !w.p.full {
		candidates := s.roster.groupCandidates(after, q, now, groupsCandidates)
		if len(candidates) == 0 {
			break
		}
		err := eachRelations(c, candidates, func(id agent.ID, of []relation) error {
			if !w.add(id, of) {
				return errEnough
			}
			ids = append(ids, id)
			return nil
		})
		if err := notEnough(err); err != nil {
			return Page{}, nil, err
		}
		after = candidates[len(candidates)-1]
	}
	if w.p.full || !q.GlobalHash {
		return w.end(nil), ids, nil
	}
	hash, ok, err := s.groupsHash(c)
	if err != nil {
		return Page{}, nil, err
	}
	return w.end(hashText(hash, ok)), ids, nil
}

// hashText is the member "hash" of the last page.
func hashText(hash string, ok bool) []byte {
	if !ok {
		return []byte(`,"hash":null`)
	}
	return appendText([]byte(`,"hash":`), hash)
}

// groupCandidates returns the next agents that a query asks for.
func (r *roster) groupCandidates(after agent.ID, q GroupsQuery, now int64, limit int) []agent.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var ids []agent.ID
	for p := range r.afterLocked(after) {
		if q.Condition == GroupsPending && !p.regroup || p.added >= now-q.RegistrationDelta {
			continue
		}
		if ids = append(ids, p.id()); len(ids) == limit {
			break
		}
	}
	return ids
}

// groupPage collects the agents of one page.
type groupPage struct {
	p     *pager
	names map[int64][]byte // groups as JSON
}

func newGroupPage(c *sqlitedb.Conn) (*groupPage, error) {
	names, err := readGroupNames(c)
	if err != nil {
		return nil, err
	}
	w := &groupPage{names: make(map[int64][]byte, len(names))}
	for number, name := range names {
		w.names[number] = appendText(nil, name)
	}
	w.start()
	return w, nil
}

const groupPageHead = `[{"data":`

func (w *groupPage) start() {
	w.p = newPagerOf(pageLimit - groupsOverhead)
	w.p.buf = append(make([]byte, 0, 4096), groupPageHead+"["...)
}

// add takes in one agent; false when the page is full.
func (w *groupPage) add(id agent.ID, of []relation) bool {
	return w.p.add(func(dst []byte) []byte {
		dst = append(dst, `{"id":`...)
		dst = strconv.AppendInt(dst, int64(id), 10)
		dst = append(dst, `,"groups":[`...)
		for i, r := range of {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, w.names[r.group]...)
		}
		return append(dst, ']', '}')
	})
}

// end is the text of the page, with the hash if there is one and room for it.
func (w *groupPage) end(hash []byte) Page {
	page := Page{JSON: append(w.p.buf, ']'), More: w.p.full}
	if len(hash) > 0 && len(page.JSON)+len(hash)+2 < pageLimit {
		page.JSON = append(page.JSON, hash...)
	} else if len(hash) > 0 {
		page.More = true
	}
	page.JSON = append(page.JSON, '}', ']')
	return page
}

// sentGroups is an agent whose groups are on their way.
type sentGroups struct {
	id       agent.ID
	regroups uint32 // as it was then
}

// PendingGroups returns the groups of all agents that are to be sent out, as a
// master's cluster daemon gets them in pages; the last chunk has the hash over
// all groups, and there is one in any case. confirm takes down that the workers
// have them, except for agents whose groups have changed since.
func (s *Store) PendingGroups(ctx context.Context) (chunks [][]byte, confirm func(context.Context) error, err error) {
	sent := s.roster.pendingGroups(time.Now().Unix())
	err = s.read(ctx, func(c *sqlitedb.Conn) error {
		ids := make([]agent.ID, len(sent))
		for i := range sent {
			ids[i] = sent[i].id
		}
		var last *groupPage
		if chunks, last, err = groupChunks(c, ids); err != nil {
			return err
		}
		hash, ok, err := s.groupsHash(c)
		if err != nil {
			return err
		}
		page := last.end(hashText(hash, ok))
		chunks = append(chunks, page.JSON)
		if page.More {
			last.start()
			chunks = append(chunks, last.end(hashText(hash, ok)).JSON)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return chunks, func(ctx context.Context) error { return s.confirmGroups(ctx, sent) }, nil
}

// pendingGroups returns the agents whose groups are to be sent out.
func (r *roster) pendingGroups(now int64) []sentGroups {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var due []sentGroups
	for p := range r.afterLocked(agent.Manager) {
		if p.regroup && p.added < now {
			due = append(due, sentGroups{p.id(), p.regroups})
		}
	}
	return due
}

// groupChunks returns all full pages of the agents' groups, and the last page.
func groupChunks(c *sqlitedb.Conn, ids []agent.ID) (full [][]byte, last *groupPage, err error) {
	w, err := newGroupPage(c)
	if err != nil {
		return nil, nil, err
	}
	err = eachRelations(c, ids, func(id agent.ID, of []relation) error {
		if w.add(id, of) {
			return nil
		}
		full = append(full, w.end(nil).JSON)
		w.start()
		w.add(id, of)
		return nil
	})
	return full, w, err
}

// AllGroups makes the texts and hashes of all groups anew and returns the groups
// of all agents in chunks, without a hash. There is none without agents.
func (s *Store) AllGroups(ctx context.Context) (chunks [][]byte, err error) {
	if err := s.RecalculateGroupHashes(ctx); err != nil {
		return nil, err
	}
	q := GroupsQuery{Condition: GroupsAll}
	ids := s.roster.groupCandidates(agent.Manager, q, time.Now().Unix(), -1)
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.read(ctx, func(c *sqlitedb.Conn) error {
		full, last, err := groupChunks(c, ids)
		if err != nil {
			return err
		}
		chunks = full
		chunks = append(chunks, last.end(nil).JSON)
		return nil
	})
	return chunks, err
}

// confirmGroups takes down that groups were sent out.
func (s *Store) confirmGroups(ctx context.Context, sent []sentGroups) error {
	for part := range slices.Chunk(sent, setBatch) {
		err := s.writeFresh(ctx, false, func(t *tx) error {
			if whole, err := t.confirmRange(part); whole || err != nil {
				return asQuery(err)
			}
			for _, a := range part {
				if r, ok := t.get(a.id); !ok || r.regroups != a.regroups {
					continue
				}
				if err := t.setRegrouped(a.id); err != nil {
					return asQuery(err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// confirmRange is confirmGroups in one statement. It does nothing unless all
// agents between the first and the last that are to be sent out are in the list
// and unchanged.
func (t *tx) confirmRange(sent []sentGroups) (whole bool, err error) {
	first, last := sent[0].id, sent[len(sent)-1].id
	if !t.s.roster.pendingAre(sent) {
		return false, nil
	}
	err = t.exec("UPDATE agent SET group_sync_status = 'synced' WHERE id BETWEEN ?1 AND ?2"+
		" AND group_sync_status = 'syncreq'", int64(first), int64(last))
	if err != nil {
		return false, err
	}
	for _, a := range sent {
		if r := t.edit(a.id); r != nil {
			r.regroup = false
		}
	}
	return true, nil
}

// pendingAre tells whether the agents to be sent out between the first and the
// last of the list are exactly these, unchanged since.
func (r *roster) pendingAre(list []sentGroups) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := 0
	for p := range r.afterLocked(list[0].id - 1) {
		if p.id() > list[len(list)-1].id {
			break
		}
		if !p.regroup {
			continue
		}
		if i == len(list) || list[i].id != p.id() || p.regroups != list[i].regroups {
			return false
		}
		i++
	}
	return i == len(list)
}
