// Package rbac holds the permissions that travel with a request and says what
// they allow (docs/dapi.md §4). It is pure: who is in a group and which
// resources exist the caller tells.
package rbac

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"testudo/internal/fault"
	"testudo/internal/result"
)

// Mode is what holds for a resource that no entry names.
type Mode string

// The modes. White refuses what is not allowed, black allows what is not
// refused.
const (
	White Mode = "white"
	Black Mode = "black"
)

// Bounds of the permissions of one request.
const (
	maxBytes   = 16 << 20
	maxActions = 1000
	maxEntries = 200000
	maxJoined  = 1000 // resources joined by '&', which are compared one by one
)

// Permissions are what one user may do. The zero value allows nothing.
type Permissions struct {
	mode    Mode
	actions []action
}

// action is the entries of one action in the order in which they apply.
type action struct {
	name    string
	entries []entry
}

// entry allows or refuses one resource.
type entry struct {
	resource string
	effect   string
}

func (e entry) allows() bool { return e.effect == "allow" }

// All are the permissions that refuse nothing, those of a request that names
// none.
func All() Permissions { return Permissions{mode: Black} }

// Parse reads the permissions of a request; null and nothing are All. The
// error is worded as peers know it.
func Parse(data json.RawMessage) (Permissions, error) {
	if data = bytes.TrimSpace(data); len(data) == 0 || string(data) == "null" {
		return All(), nil
	}
	object, err := result.ReadObject(data, result.Limits{Bytes: maxBytes, Depth: 2})
	if err != nil {
		return Permissions{}, err
	}
	mode := object.Get("rbac_mode")
	if mode == nil {
		return Permissions{}, errNoMode
	}
	p := Permissions{}
	if err := json.Unmarshal(mode, &p.mode); err != nil || p.mode != White && p.mode != Black {
		return Permissions{}, fault.New(fault.Unspecified, "rbac_mode is neither white nor black")
	}
	return p, p.read(object)
}

// errNoMode has the original's words.
var errNoMode = errors.New("'rbac_mode'")

func (p *Permissions) read(object result.Object) error {
	left, joined := maxEntries, 0
	for _, m := range object {
		if m.Name == "rbac_mode" {
			continue
		}
		if len(p.actions) == maxActions {
			return fault.New(fault.Unspecified, "permissions of too many actions")
		}
		a, err := readAction(m, left)
		if err != nil {
			return err
		}
		left -= len(a.entries)
		for _, e := range a.entries {
			joined += strings.Count(e.resource, "&")
		}
		if joined > maxJoined {
			return fault.New(fault.Unspecified, "permissions of too many joined resources")
		}
		p.actions = append(p.actions, a)
	}
	return nil
}

func readAction(m result.Member, limit int) (action, error) {
	object, err := result.ReadObject(m.Value, result.Limits{Bytes: maxBytes, Depth: 1})
	if err != nil {
		return action{}, err
	}
	if len(object) > limit {
		return action{}, fault.New(fault.Unspecified, "permissions of too many resources")
	}
	a := action{name: m.Name}
	for _, e := range object {
		one := entry{resource: e.Name}
		if err := json.Unmarshal(e.Value, &one.effect); err != nil {
			return action{}, fault.New(fault.Unspecified, "the effect of a permission is no text")
		}
		a.entries = append(a.entries, one)
	}
	return a, nil
}

// Mode is the mode of the permissions.
func (p Permissions) Mode() Mode { return p.mode }

// JSON is the form in a request.
func (p Permissions) JSON() json.RawMessage {
	object := make(result.Object, 0, 1+len(p.actions))
	object = append(object, member("rbac_mode", p.mode))
	for _, a := range p.actions {
		entries := make(result.Object, len(a.entries))
		for i, e := range a.entries {
			entries[i] = member(e.resource, e.effect)
		}
		object = append(object, result.Member{Name: a.name, Value: entries.JSON()})
	}
	return object.JSON()
}

// member is one of a text.
func member[T ~string](name string, value T) result.Member {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte(`""`) // cannot be: any string can be encoded
	}
	return result.Member{Name: name, Value: text}
}

func (p Permissions) entries(name string) []entry {
	for _, a := range p.actions {
		if a.name == name {
			return a.entries
		}
	}
	return nil
}

// split parts "agent:id:001" into "agent:id" and "001".
func split(resource string) (kind, value string) {
	first := strings.IndexByte(resource, ':')
	if first < 0 {
		return resource, ""
	}
	second := strings.IndexByte(resource[first+1:], ':')
	if second < 0 {
		return resource, ""
	}
	return resource[:first+1+second], resource[first+2+second:]
}
