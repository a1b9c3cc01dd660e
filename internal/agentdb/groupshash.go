package agentdb

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// groupSum keeps the global hash until groups change.
type groupSum struct {
	mu    sync.Mutex
	valid bool
	at    uint64 // groupsChanged when it was computed
	hash  string
	ok    bool
}

func (g *groupSum) get(at uint64) (hash string, ok, valid bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hash, g.ok, g.valid && g.at == at
}

func (g *groupSum) put(at uint64, hash string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.valid || g.at <= at {
		g.valid, g.at, g.hash, g.ok = true, at, hash, ok
	}
}

// GroupsHash is the hash over the groups of all agents (docs/agentdb.md §9.4); ok
// is false when no agent has groups.
func (s *Store) GroupsHash(ctx context.Context) (hash string, ok bool, err error) {
	if hash, ok, valid := s.groupSum.get(s.groupsChanged.Load()); valid {
		return hash, ok, nil
	}
	err = s.read(ctx, func(c *sqlitedb.Conn) error {
		hash, ok, err = s.groupsHash(c)
		return err
	})
	return hash, ok, err
}

// groupsHash is GroupsHash as c sees it.
func (s *Store) groupsHash(c *sqlitedb.Conn) (hash string, ok bool, err error) {
	// A change that is committed but not yet counted makes what follows newer than
	// its number says. It is then computed once more than needed.
	at := s.groupsChanged.Load()
	if hash, ok, valid := s.groupSum.get(at); valid {
		return hash, ok, nil
	}
	hash, ok, err = computeGroupsHash(c)
	if err == nil {
		s.groupSum.put(at, hash, ok)
	}
	return hash, ok, err
}

// computeGroupsHash reads the index of the hashes, which is a fraction of the
// table, and puts what it finds in the order of the agents.
func computeGroupsHash(c *sqlitedb.Conn) (hash string, ok bool, err error) {
	type entry struct {
		id   agent.ID
		hash int32 // number in hashes
	}
	var entries []entry
	var hashes []string
	var last, text []byte
	query := "SELECT id, group_hash FROM agent WHERE group_hash IS NOT NULL ORDER BY group_hash"
	err = sqlitedb.Select(c, query, func(st *sqlitedb.Stmt) error {
		id := agent.ID(st.ColumnInt64(0))
		if id <= agent.Manager {
			return nil
		}
		text = sqlitedb.AppendColumn(text[:0], st, 1)
		if len(hashes) == 0 || !bytes.Equal(text, last) {
			hashes = append(hashes, string(text))
			last = append(last[:0], text...)
		}
		entries = append(entries, entry{id, int32(len(hashes) - 1)})
		return nil
	})
	if err != nil {
		return "", false, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return int(a.id) - int(b.id) })
	sum := agent.NewGlobalHash()
	for _, e := range entries {
		sum.Add(hashes[e.hash])
	}
	hash, ok = sum.Sum()
	return hash, ok, nil
}

// The answers of GroupsIntegrity.
const (
	groupsPending  = `["syncreq"]`
	groupsEqual    = `["synced"]`
	groupsMismatch = `["hash_mismatch"]`
)

// GroupsIntegrity compares a hash with that of GroupsHash: the page
// ["syncreq"] when groups wait to be sent out, ["synced"] or ["hash_mismatch"].
func (s *Store) GroupsIntegrity(ctx context.Context, hash string) (Page, error) {
	if s.roster.anyRegroup() {
		return Page{JSON: []byte(groupsPending)}, nil
	}
	own, ok, err := s.GroupsHash(ctx)
	switch {
	case err != nil:
		return Page{}, err
	case ok && own == hash:
		return Page{JSON: []byte(groupsEqual)}, nil
	default:
		return Page{JSON: []byte(groupsMismatch)}, nil
	}
}

// anyRegroup tells whether groups of an agent are to be sent out.
func (r *roster) anyRegroup() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, b := range r.blocks {
		if b.regrouping > 0 {
			return true
		}
	}
	return false
}

// recalculateBatch is how many agents one operation of the writer looks at.
const recalculateBatch = 4096

// RecalculateGroupHashes makes the text and the hash of each agent's groups anew
// from its relations. Whether they are to be sent out stays as it is. Agents
// whose text and hash are right are not written.
func (s *Store) RecalculateGroupHashes(ctx context.Context) error {
	for after, more := agent.Manager, true; more; {
		err := s.write(ctx, true, func(t *tx) (err error) {
			after, more, err = t.recalculate(after, recalculateBatch)
			return asQuery(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// recalculate looks at the next agents above after and returns the last.
func (t *tx) recalculate(after agent.ID, limit int) (last agent.ID, more bool, err error) {
	type state struct {
		text, hash string
		null       bool
	}
	var ids []agent.ID
	var states []state
	err = sqlitedb.Select(t.c, "SELECT id, `group`, group_hash FROM agent WHERE id > ?1 ORDER BY id LIMIT ?2",
		func(st *sqlitedb.Stmt) error {
			ids = append(ids, agent.ID(st.ColumnInt64(0)))
			states = append(states, state{st.ColumnText(1), st.ColumnText(2), st.ColumnIsNull(1)})
			return nil
		}, int64(after), limit)
	if err != nil || len(ids) == 0 {
		return after, false, err
	}
	names, err := readGroupNames(t.c)
	if err != nil {
		return after, false, err
	}
	type change struct {
		id   agent.ID
		text string
	}
	var changes []change
	i := 0
	err = eachRelations(t.c, ids, func(id agent.ID, of []relation) error {
		text := relationsText(of, names)
		was := states[i]
		i++
		if was.text != text || was.hash != agent.GroupHash(text) || was.null != (text == "") {
			changes = append(changes, change{id, text})
		}
		return nil
	})
	if err != nil {
		return after, false, err
	}
	for _, c := range changes {
		if err := t.writeGroupText(c.id, c.text, ""); err != nil {
			return after, false, err
		}
	}
	return ids[len(ids)-1], len(ids) == limit, nil
}

// relationsText is the text of an agent's groups.
func relationsText(of []relation, names map[int64]string) string {
	if len(of) == 1 {
		return names[of[0].group]
	}
	all := make([]string, len(of))
	for i, r := range of {
		all[i] = names[r.group]
	}
	return agent.GroupsText(all)
}

// writeGroupText writes the text of an agent's groups, its hash, and, unless it
// is "", whether they are to be sent out.
func (t *tx) writeGroupText(id agent.ID, text, sync string) error {
	query := "UPDATE agent SET `group` = ?2, group_hash = ?3 WHERE id = ?1"
	if sync != "" {
		query = "UPDATE agent SET `group` = ?2, group_hash = ?3, group_sync_status = ?4 WHERE id = ?1"
	}
	st, err := t.c.Prepare(query)
	if err != nil {
		return err
	}
	st.BindInt64(1, int64(id))
	if text == "" {
		st.BindNull(2)
		st.BindNull(3)
	} else {
		st.BindText(2, text)
		st.BindText(3, agent.GroupHash(text))
	}
	if sync != "" {
		st.BindText(4, sync)
	}
	if _, err := st.Step(); err != nil {
		return err
	}
	if r := t.edit(id); r != nil {
		r.group = text
		if sync != "" {
			if r.regroup = sync == syncReq; r.regroup {
				t.s.regroups++
				r.regroups = t.s.regroups
			}
		}
	}
	t.touchGroups()
	return nil
}
