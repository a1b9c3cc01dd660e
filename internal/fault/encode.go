package fault

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// maxDepth bounds the nesting of an extra message, both ways.
const maxDepth = 32

// object is a JSON object whose keys keep their order.
type object []member

type member struct {
	key   string
	value any
}

// JSON is the error as it stands in the payload of an `err` reply or of an
// error notice: exactly the keys that the receiver takes, in the byte form
// the reference uses (a space after comma and colon, ASCII only).
func (e *Error) JSON() []byte {
	return appendJSON(nil, e.wire(), 0)
}

// MarshalJSON makes an *Error inside another document look as on the wire.
func (e *Error) MarshalJSON() ([]byte, error) { return e.JSON(), nil }

// Bare is what stands below the key of the envelope in JSON: class and object.
// Lists of failed items hold errors in this form.
func (e *Error) Bare() []byte {
	return appendJSON(nil, e.bare(), 0)
}

func (e *Error) wire() object {
	return object{{"__wazuh_exception__", e.bare()}}
}

func (e *Error) bare() object {
	nodes := e.NodeErrors
	if nodes == nil {
		nodes = map[string]any{}
	}
	class := e.class()
	fields := object{
		{"type", "about:blank"},
		{"title", e.Heading()},
		{"code", int(e.Code)},
		{"extra_message", e.Extra},
		{"extra_remediation", e.Remedy},
		{"cmd_error", e.CommandError},
		{"dapi_errors", nodes},
	}
	if class.hasIDs() {
		fields = append(fields, member{"ids", e.IDs})
	}
	return object{{"__class__", string(class)}, {"__object__", fields}}
}

// appendJSON writes v in the byte form of the reference. Maps are written in
// the order of their keys; what is not JSON is written as its text; what is
// nested deeper than maxDepth is written as null.
func appendJSON(dst []byte, v any, depth int) []byte {
	if depth > maxDepth {
		return append(dst, "null"...)
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendString(dst, v)
	case json.Number:
		return appendNumber(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case error:
		return appendString(dst, v.Error())
	case object:
		return appendMembers(dst, v, depth)
	case map[string]any:
		ordered := make(object, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			ordered = append(ordered, member{key, v[key]})
		}
		return appendMembers(dst, ordered, depth)
	case []any:
		return appendList(dst, v, depth)
	case []string:
		return appendList(dst, v, depth)
	case []ID:
		return appendList(dst, v, depth)
	case ID:
		return v.append(dst)
	}
	if text, err := json.Marshal(v); err == nil {
		return append(dst, text...)
	}
	return appendString(dst, fmt.Sprint(v))
}

// appendNumber writes a number as it came. A json.Number made by hand may hold
// anything, so what is no number is written as text.
func appendNumber(dst []byte, n json.Number) []byte {
	if _, err := strconv.ParseFloat(string(n), 64); err != nil || !json.Valid([]byte(n)) {
		return appendString(dst, string(n))
	}
	return append(dst, n...)
}

func appendMembers(dst []byte, members object, depth int) []byte {
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendString(dst, m.key)
		dst = append(dst, ": "...)
		dst = appendJSON(dst, m.value, depth+1)
	}
	return append(dst, '}')
}

func appendList[T any](dst []byte, list []T, depth int) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendJSON(dst, v, depth+1)
	}
	return append(dst, ']')
}

// AppendText writes s to dst as a JSON string in the byte form of the reference.
func AppendText(dst []byte, s string) []byte { return appendString(dst, s) }

// appendString writes s as an ASCII JSON string: two-letter escapes where JSON
// has them, \uXXXX (with surrogate pairs) for the rest.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	unit := func(dst []byte, u rune) []byte {
		return append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		case r > 0xffff:
			r -= 0x10000
			dst = unit(unit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			dst = unit(dst, r)
		}
	}
	return append(dst, '"')
}
