package rbac

import (
	"fmt"
	"strings"

	"testudo/internal/fault"
)

// Types of resources with a meaning here.
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

// Verdict is the answer to an Ask, in the order of the question.
type Verdict struct {
	// Allowed are the resources to go on with.
	Allowed []string
	// Denied are the ones that were named and refused. What was not named is
	// left out without a word.
	Denied []string
}

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
	groups := membership{ask: ask.Members, known: map[string]map[string]struct{}{}}
	entries := p.entries(ask.Action)
	if err := groups.load(ask.Type, entries); err != nil {
		return Verdict{}, err
	}
	var v Verdict
	seen := make(map[string]struct{}, len(resources))
	for _, r := range resources {
		if _, twice := seen[r]; twice {
			continue
		}
		seen[r] = struct{}{}
		allowed := p.mode == Black
		for _, e := range entries {
			if matches(e.resource, ask.Type, r, func(group string) bool { return groups.has(group, r) }) {
				allowed = e.allows()
			}
		}
		switch {
		case allowed:
			v.Allowed = append(v.Allowed, r)
		case ask.Named != nil:
			v.Denied = append(v.Denied, r)
		}
	}
	return v, nil
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

// membership knows the agents of the groups that entries name.
type membership struct {
	ask   func(group string) ([]string, error)
	known map[string]map[string]struct{}
}

func (m membership) load(kind string, entries []entry) error {
	if kind != typeAgent || m.ask == nil {
		return nil
	}
	for _, e := range entries {
		for part := range strings.SplitSeq(e.resource, "&") {
			k, group := split(part)
			if _, known := m.known[group]; known || k != typeGroup {
				continue
			}
			ids, err := m.ask(group)
			if err != nil {
				return fmt.Errorf("list agents of group %q: %w", group, err)
			}
			set := make(map[string]struct{}, len(ids))
			for _, id := range ids {
				set[id] = struct{}{}
			}
			m.known[group] = set
		}
	}
	return nil
}

func (m membership) has(group, id string) bool {
	_, ok := m.known[group][id]
	return ok
}

// Denied is the error of resources of a type that were refused.
func Denied(kind string, ids ...string) *fault.Error {
	e := fault.New(fault.PermissionDenied, "Resource type: "+kind)
	e.IDs = fault.TextIDs(ids...)
	return e
}
