package agentdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

var (
	// ErrDefaultGroup is returned by DeleteGroup for the group that agents without
	// another one belong to.
	ErrDefaultGroup = errors.New("the group \"" + agent.DefaultGroup + "\" cannot be deleted")

	// ErrSetGroups is returned when a part of a change of groups could not be made;
	// the other parts are.
	ErrSetGroups = errors.New("not all groups could be set")
)

// Groups is the page [{"name":…},…] of all groups in the order in which they
// were made.
func (s *Store) Groups(ctx context.Context) (Page, error) {
	return s.rows(ctx, "SELECT name FROM `group` ORDER BY id")
}

// FindGroup is the page [{"id":…}] of the group, empty when there is none.
func (s *Store) FindGroup(ctx context.Context, name string) (Page, error) {
	return s.rows(ctx, "SELECT id FROM `group` WHERE name = ?1", name)
}

// InsertGroup adds a group. The error is agent.ErrGroupName, or a QueryError when
// the group exists.
func (s *Store) InsertGroup(ctx context.Context, name string) error {
	if err := agent.CheckGroupName(name); err != nil {
		return fmt.Errorf("insert group: %w", err)
	}
	return s.write(ctx, true, func(t *tx) error {
		return t.exec("INSERT INTO `group` (name) VALUES (?1)", name)
	})
}

// GroupsOfAgent is the flat page of the names of an agent's groups by priority.
func (s *Store) GroupsOfAgent(ctx context.Context, id agent.ID) (Page, error) {
	return s.flat(ctx, "SELECT g.name FROM belongs b JOIN `group` g ON g.id = b.id_group"+
		" WHERE b.id_agent = ?1 ORDER BY b.priority", int64(id))
}

// crowd is from how many members on a group is read in the order of the agents
// of all groups, which needs no sorting and stops where the page is full.
const crowd = 20_000

// AgentsOfGroup is the flat page of the ids, above after and ascending, of the
// agents in a group (docs/agentdb.md §18.5).
func (s *Store) AgentsOfGroup(ctx context.Context, name string, after agent.ID) (Page, error) {
	p := newPager()
	err := s.read(ctx, func(c *sqlitedb.Conn) error {
		group, ok, err := groupNumber(c, name)
		if err != nil || !ok {
			return err
		}
		members := int64(0)
		err = sqlitedb.Select(c, "SELECT count(*) FROM (SELECT 1 FROM belongs WHERE id_group = ?1 LIMIT ?2)",
			func(st *sqlitedb.Stmt) error { members = st.ColumnInt64(0); return nil }, group, crowd)
		if err != nil {
			return err
		}
		query := "SELECT id_agent FROM belongs WHERE id_group = ?1 AND id_agent > ?2 ORDER BY id_agent"
		if members >= crowd {
			query = "SELECT id_agent FROM belongs WHERE +id_group = ?1 AND id_agent > ?2 ORDER BY id_agent"
		}
		err = sqlitedb.Select(c, query, func(st *sqlitedb.Stmt) error {
			if !p.add(func(dst []byte) []byte { return appendInteger(dst, st.ColumnInt64(0)) }) {
				return errEnough
			}
			return nil
		}, group, int64(after))
		return notEnough(err)
	})
	if err != nil {
		return Page{}, err
	}
	return p.page(), nil
}

// groupNumber returns the id of a group.
func groupNumber(c *sqlitedb.Conn, name string) (number int64, ok bool, err error) {
	err = sqlitedb.Select(c, "SELECT id FROM `group` WHERE name = ?1", func(st *sqlitedb.Stmt) error {
		number, ok = st.ColumnInt64(0), true
		return nil
	}, name)
	return number, ok, err
}

// DistinctGroups is the page [{"group":…,"group_hash":…},…] of the lists of
// groups that agents have, with hashes above afterHash, in the order of the hash.
func (s *Store) DistinctGroups(ctx context.Context, afterHash string) (Page, error) {
	type list struct{ text, hash string }
	var lists []list
	for _, text := range s.roster.groupTexts() {
		if hash := agent.GroupHash(text); hash > afterHash {
			lists = append(lists, list{text, hash})
		}
	}
	slices.SortFunc(lists, func(a, b list) int { return strings.Compare(a.hash+a.text, b.hash+b.text) })
	p := newPager()
	err := s.read(ctx, func(c *sqlitedb.Conn) error {
		for _, l := range lists {
			// An agent that was enrolled with a text has no hash before the first change.
			known := false
			err := sqlitedb.Select(c, "SELECT 1 FROM agent WHERE group_hash = ?1 AND id > 0 LIMIT 1",
				func(*sqlitedb.Stmt) error { known = true; return nil }, l.hash)
			if err != nil {
				return err
			}
			if known && !p.add(func(dst []byte) []byte {
				dst = appendText(append(dst, `{"group":`...), l.text)
				return append(appendText(append(dst, `,"group_hash":`...), l.hash), '}')
			}) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return Page{}, err
	}
	return p.page(), nil
}

// groupTexts returns the different texts of groups that agents above 0 have.
func (r *roster) groupTexts() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var texts []string
	for i := range r.groups.entries[1:] {
		if e := &r.groups.entries[i+1]; e.agents.of("") > 0 {
			texts = append(texts, e.text)
		}
	}
	return texts
}

// GroupsOf returns the names of the groups, by priority, of those of the agents
// that exist.
func (s *Store) GroupsOf(ctx context.Context, ids []agent.ID) (map[agent.ID][]string, error) {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	sorted = slices.DeleteFunc(sorted, func(id agent.ID) bool { return !s.roster.has(id) })
	groups := make(map[agent.ID][]string, len(sorted))
	err := s.read(ctx, func(c *sqlitedb.Conn) error {
		all, err := readGroupNames(c)
		if err != nil {
			return err
		}
		return eachRelations(c, sorted, func(id agent.ID, of []relation) error {
			names := make([]string, len(of))
			for i, r := range of {
				names[i] = all[r.group]
			}
			groups[id] = names
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

func (r *roster) has(id agent.ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, _, ok := r.findLocked(id)
	return ok
}

// readGroupNames returns the names of all groups by their number.
func readGroupNames(c *sqlitedb.Conn) (map[int64]string, error) {
	names := map[int64]string{}
	err := sqlitedb.Select(c, "SELECT id, name FROM `group`", func(st *sqlitedb.Stmt) error {
		names[st.ColumnInt64(0)] = st.ColumnText(1)
		return nil
	})
	return names, err
}
