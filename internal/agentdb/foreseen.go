package agentdb

import "testudo/internal/agent"

// foreseen are the agents that were added because their key was there and whose
// enrolment has not said so yet. It belongs to the writer and is never larger
// than the agents are many.
type foreseen map[agent.ID]struct{}

// isForeseen tells whether an agent is foreseen, as this transaction has left it.
func (t *tx) isForeseen(id agent.ID) bool {
	_, there := t.get(id)
	if yes, changed := t.follows[id]; changed {
		return there && yes
	}
	_, yes := t.s.foreseen[id]
	return there && yes
}

// foresee says whether an agent is foreseen from now on.
func (t *tx) foresee(id agent.ID, yes bool) {
	if t.follows == nil {
		t.follows = make(map[agent.ID]bool)
	}
	t.follows[id] = yes
}

// publishForeseen takes over what a committed transaction has foreseen.
func (s *Store) publishForeseen(t *tx) {
	for id, yes := range t.follows {
		if yes {
			s.foreseen[id] = struct{}{}
		} else {
			delete(s.foreseen, id)
		}
	}
}

// enrolForeseen gives a foreseen agent the values of its enrolment. What has
// been reported of it meanwhile stays.
func (t *tx) enrolForeseen(a NewAgent) error {
	if err := t.settle(a.ID); err != nil {
		return err
	}
	err := t.exec("UPDATE agent SET name = ?1, ip = coalesce(?2, ip), register_ip = ?3, internal_key = ?4, date_add = ?5,"+
		" `group` = coalesce(?6, `group`) WHERE id = ?7",
		a.Name, a.IP, a.RegisterIP, a.InternalKey, a.DateAdd, a.Group, int64(a.ID))
	if err != nil {
		return err
	}
	r := t.edit(a.ID)
	r.name, r.added = a.Name, a.DateAdd
	r.rewritten()
	if a.IP != nil {
		r.hasIP, r.ip = true, *a.IP
	}
	if a.Group != nil {
		r.group = *a.Group
		t.touchGroups()
	}
	t.foresee(a.ID, false)
	return nil
}
