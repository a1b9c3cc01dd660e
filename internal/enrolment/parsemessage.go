package enrolment

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"testudo/internal/agent"
)

// ParseMessage reads a message of the local socket. Text behind the JSON value
// does not count. The error is a *Refusal with the number that the check which
// came first gives (docs/enrolment.md §9); so are values that would spoil
// client.keys. Whether the address is one is not looked at: other checks come
// before that.
func ParseMessage(data []byte) (Message, error) {
	if len(data) > MaxMessage {
		return Message{}, Refused(CodeJSON)
	}
	top, ok := readObject(data)
	if !ok {
		return Message{}, Refused(CodeJSON)
	}
	function, ok := top.get("function")
	if !ok {
		return Message{}, Refused(CodeNoFunction)
	}
	m := Message{}
	m.Function, _ = text(function)
	switch m.Function {
	case FunctionAdd, FunctionRemove, FunctionGet, FunctionConfirm:
	default:
		return Message{}, Refused(CodeInternal)
	}
	raw, ok := top.get("arguments")
	if !ok {
		return Message{}, Refused(CodeNoArguments)
	}
	arguments, _ := readObject(raw) // what is no object has no members
	var refused *Refusal
	if m.Function == FunctionAdd {
		refused = m.Arguments.readAddition(arguments)
	} else {
		refused = m.Arguments.readID(arguments)
	}
	if refused != nil {
		return Message{}, refused
	}
	return m, nil
}

// readID reads what remove, get and confirm need.
func (a *Arguments) readID(o object) *Refusal {
	id, _ := o.get("id")
	if a.ID, _ = text(id); a.ID == "" {
		return Refused(CodeNoID)
	}
	purge, _ := o.get("purge")
	a.Purge = isTrue(purge)
	held, _ := o.get("held")
	a.Held = isTrue(held)
	return nil
}

// readAddition reads what add needs.
func (a *Arguments) readAddition(o object) *Refusal {
	name, ok := o.get("name")
	if !ok {
		return Refused(CodeNoName)
	}
	ip, ok := o.get("ip")
	if !ok {
		return Refused(CodeNoAddress)
	}
	if groups, ok := o.get("groups"); ok {
		list, ok := text(groups)
		if !ok {
			return Refused(CodeGroups)
		}
		a.Groups = SplitGroups(list)
	}
	if force, ok := o.get("force"); ok {
		f, ok := readForce(force)
		if !ok {
			return Refused(CodeJSON)
		}
		a.Force = &f
	}
	a.Name, _ = text(name)
	a.IP, _ = text(ip)
	hash, _ := o.get("key_hash")
	a.KeyHash, _ = text(hash)
	held, _ := o.get("held")
	a.Held = isTrue(held)
	return a.readOwn(o)
}

// readOwn reads what the original takes unseen into client.keys.
func (a *Arguments) readOwn(o object) *Refusal {
	if !storable(a.Name) || a.Name[0] == '!' || a.Name[0] == '#' {
		return Refused(CodeNoName)
	}
	if id, ok := o.get("id"); ok && !isNull(id) {
		if a.ID, _ = text(id); !validID(a.ID) || strings.Trim(a.ID, "0") == "" {
			return Refused(CodeNoID)
		}
	}
	if key, ok := o.get("key"); ok && !isNull(key) {
		secret, _ := text(key)
		if !storable(secret) {
			return Refused(CodeKey)
		}
		a.Key = agent.NewSecret(secret)
	}
	return nil
}

// storable tells whether a text can stand in a line of client.keys: 1 to 128
// bytes without blank or control characters.
func storable(text string) bool {
	return text != "" && len(text) <= maxName &&
		strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) < 0
}

// object is the members of a JSON object in their order. The original takes the
// first of a name, whatever the case of its letters.
type object []struct {
	name  string
	value json.RawMessage
}

func (o object) get(name string) (json.RawMessage, bool) {
	for _, m := range o {
		if strings.EqualFold(m.name, name) {
			return m.value, true
		}
	}
	return nil, false
}

// readObject reads the object that data begins with.
func readObject(data []byte) (o object, ok bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		key, isText := name.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil || !isText {
			return nil, false
		}
		o = append(o, struct {
			name  string
			value json.RawMessage
		}{key, value})
	}
	_, err := d.Token()
	return o, err == nil
}

func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func isTrue(raw json.RawMessage) bool { return string(raw) == "true" }

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }
