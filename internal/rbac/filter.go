package rbac

import (
	"fmt"
	"slices"
	"strings"

	"testudo/internal/fault"
)

// Types of resources with a meaning here: what is allowed to a group counts
// for its agents.
const (
	typeAgent = "agent:id"
	typeGroup = "agent:group"
)

// Allows tells whether the action may be done to one resource, such as
// "node:id:w1", or "*:*:*" for actions that have no resource. The groups of an
// agent are not known here: what an entry allows to a group counts for none of
// its agents, what it refuses counts for all. Filter knows better.
func (p Permissions) Allows(action, resource string) bool {
	kind, value := split(resource)
	allowed := p.mode == Black
	for _, e := range p.entries(action) {
		if matches(e.resource, kind, value, func(string) bool { return !e.allows() }) {
			allowed = e.allows()
		}
	}
	return allowed
}

// Ask is the question which of many resources an action may be done to.
type Ask struct {
	// Action is such as "agent:restart".
	Action string
	// Type is the type of the resources, such as "agent:id".
	Type string
	// Named are the resources that the user named. Nil, not empty, means that
	// none were: all that exist are meant.
	Named []string
	// All gives the resources that exist. It is asked only if none are named.
	All func() ([]string, error)
	// Members gives the ids of the agents of a group, for "*" of those in any
	// group. It is needed for agents only.
	Members func(group string) ([]string, error)
}

// Verdict is the answer to an Ask, in the order of the question and each
// resource once.
type Verdict struct {
	// Allowed are the resources to go on with.
	Allowed []string
	// Denied are the ones that were named and refused. What was not named is
	// left out without a word.
	Denied []string
}

// Refused tells whether all that was named is refused, which makes the whole
// answer the error of Denied.
func (v Verdict) Refused() bool { return len(v.Allowed) == 0 && len(v.Denied) > 0 }

// Filter parts resources into those that the action may be done to and the
// others. The error is that of All or Members.
func (p Permissions) Filter(ask Ask) (Verdict, error) {
	resources := ask.Named
	if resources == nil {
		var err error
		if resources, err = ask.All(); err != nil {
			return Verdict{}, fmt.Errorf("list %s: %w", ask.Type, err)
		}
	}
	rules, err := p.rules(ask)
	if err != nil {
		return Verdict{}, err
	}
	var v Verdict
	seen := make(map[string]struct{}, len(resources))
	for _, r := range resources {
		if _, twice := seen[r]; twice {
			continue
		}
		seen[r] = struct{}{}
		switch {
		case rules.allow(r):
			v.Allowed = append(v.Allowed, r)
		case ask.Named != nil:
			v.Denied = append(v.Denied, r)
		}
	}
	return v, nil
}

// rules are the entries of an action, laid out so that many resources can be
// judged. The last entry that takes a resource in decides.
type rules struct {
	kind    string
	unnamed bool // what holds when no entry does
	entries []entry
	last    map[string]int // the last entry of each resource, by itself or by its group
	any     int            // the last entry of all resources, -1 for none
	joined  []int          // entries of several resources joined by '&'
	groups  map[string]map[string]struct{}
	members func(group string) ([]string, error)
}

func (p Permissions) rules(ask Ask) (*rules, error) {
	r := &rules{
		kind: ask.Type, unnamed: p.mode == Black, entries: p.entries(ask.Action), any: -1,
		last: map[string]int{}, groups: map[string]map[string]struct{}{}, members: ask.Members,
	}
	for i, e := range r.entries {
		if err := r.place(i, e.resource); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// place files the entry under what it takes in.
func (r *rules) place(i int, resource string) error {
	if strings.Contains(resource, "&") {
		r.joined = append(r.joined, i)
		for part := range strings.SplitSeq(resource, "&") {
			if _, err := r.group(part); err != nil {
				return err
			}
		}
		return nil
	}
	switch kind, value := split(resource); {
	case kind == r.kind && value == "*":
		r.any = i
	case kind == r.kind:
		r.last[value] = i
	default:
		ids, err := r.group(resource)
		for id := range ids {
			r.last[id] = i
		}
		return err
	}
	return nil
}

// group gives the agents of the group that the resource is, none for another
// resource.
func (r *rules) group(resource string) (map[string]struct{}, error) {
	kind, name := split(resource)
	if r.kind != typeAgent || kind != typeGroup || r.members == nil {
		return nil, nil
	}
	if set, known := r.groups[name]; known {
		return set, nil
	}
	ids, err := r.members(name)
	if err != nil {
		return nil, fmt.Errorf("list agents of group %q: %w", name, err)
	}
	set := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	r.groups[name] = set
	return set, nil
}

func (r *rules) allow(id string) bool {
	best := r.any
	if i, ok := r.last[id]; ok {
		best = max(best, i)
	}
	for _, i := range slices.Backward(r.joined) {
		if i <= best {
			break
		}
		if matches(r.entries[i].resource, r.kind, id, func(group string) bool { return r.inGroup(group, id) }) {
			best = i
		}
	}
	if best < 0 {
		return r.unnamed
	}
	return r.entries[best].allows()
}

func (r *rules) inGroup(group, id string) bool {
	_, ok := r.groups[group][id]
	return ok
}

// matches tells whether an entry's resource, one or several joined by '&',
// takes in the resource of the kind and value.
func matches(resource, kind, value string, inGroup func(group string) bool) bool {
	for part := range strings.SplitSeq(resource, "&") {
		k, v := split(part)
		switch {
		case k == kind && (v == "*" || v == value):
		case kind == typeAgent && k == typeGroup && inGroup(v):
		default:
			return false
		}
	}
	return true
}

// Denied is the error of resources of a type that were refused, such as
// "agent:id". It names them; of actions without resource ("*:*") it names "*".
func Denied(kind string, ids ...string) *fault.Error {
	if kind == "*:*" {
		ids = []string{"*"}
	}
	e := fault.New(fault.PermissionDenied, "Resource type: "+kind)
	e.IDs = fault.TextIDs(ids...)
	return e
}
