package result

import (
	"encoding/json"
	"slices"
)

// fewMembers is how many members are searched one by one for a name.
const fewMembers = 16

// members splits a JSON object that is known to be valid into its members.
func members(data []byte) (Object, error) {
	out := make(Object, 0, 8)
	var places map[string]int // by name, once there are many
	err := eachMember(data, func(name, value json.RawMessage) error {
		decoded, err := text(name)
		if err != nil {
			return err
		}
		if i := out.place(decoded, places); i >= 0 {
			out[i].Value = value
			return nil
		}
		if len(out) == fewMembers {
			places = make(map[string]int, 2*fewMembers)
			for i, m := range out {
				places[m.Name] = i
			}
		}
		if places != nil {
			places[decoded] = len(out)
		}
		out = append(out, Member{decoded, value})
		return nil
	})
	if len(out) == 0 {
		return nil, err
	}
	return out, err
}

// place finds a member, in places if there is one; -1 for none.
func (o Object) place(name string, places map[string]int) int {
	if places != nil {
		if i, there := places[name]; there {
			return i
		}
		return -1
	}
	return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
}

// lookUp follows a path into objects; what is not there is null. The last of
// several members of a name counts.
func lookUp(item json.RawMessage, path []string) json.RawMessage {
	for _, step := range path {
		var found json.RawMessage
		err := eachMember(item, func(name, value json.RawMessage) error {
			if decoded, err := text(name); err == nil && decoded == step {
				found = value
			}
			return nil
		})
		if err != nil {
			return nil
		}
		item = found
	}
	return item
}

// eachMember gives the members of a JSON object that is known to be valid, the
// names as JSON texts.
func eachMember(data []byte, f func(name, value json.RawMessage) error) error {
	s := splitter{data: data}
	if s.next() != '{' {
		return undecodable("no object")
	}
	for s.next() != '}' {
		name := s.value()
		s.next()
		s.at++ // ':'
		s.next()
		if err := f(name, s.value()); err != nil {
			return err
		}
		s.comma()
	}
	return nil
}

// elements splits a JSON list that is known to be valid into at most limit
// elements.
func elements(data []byte, limit int, what string) ([]json.RawMessage, error) {
	s := splitter{data: data}
	if s.next() != '[' {
		return nil, undecodable("%s: no list", what)
	}
	var out []json.RawMessage
	for s.next() != ']' {
		if len(out) == limit {
			return nil, undecodable("%s: more than %d", what, limit)
		}
		out = append(out, s.value())
		s.comma()
	}
	return out, nil
}

// splitter walks over JSON that is known to be valid.
type splitter struct {
	data   []byte
	at     int
	opened bool
}

// next gives the next byte that is no white space. The first call steps behind
// the bracket it finds.
func (s *splitter) next() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			if !s.opened {
				s.opened = true
				s.at++
			}
			return c
		}
	}
	return 0
}

// comma steps over a comma, if one comes next.
func (s *splitter) comma() {
	if s.next() == ',' {
		s.at++
	}
}

// value steps over one value that begins here.
func (s *splitter) value() json.RawMessage {
	start, depth, inText := s.at, 0, false
	for ; s.at < len(s.data); s.at++ {
		c := s.data[s.at]
		switch {
		case inText:
			switch c {
			case '\\':
				s.at++
			case '"':
				inText = false
			}
		case c == '"':
			inText = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return s.data[start:s.at:s.at]
			}
			depth--
		case depth == 0 && (c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return s.data[start:s.at:s.at]
		}
	}
	return s.data[start:s.at:s.at]
}

// text decodes a JSON text.
func text(raw json.RawMessage) (string, error) {
	if n := len(raw); n >= 2 && raw[0] == '"' && isSimple(string(raw[1:n-1])) {
		return string(raw[1 : n-1]), nil
	}
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", undecodable("%.40q is no text", raw)
	}
	return s, nil
}
