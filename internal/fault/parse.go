package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what Parse takes from a peer. A larger JSON is kept as text; a
// longer text is cut.
const (
	maxJSON = 256 << 10
	maxText = 4 << 10
	maxIDs  = 10000
)

// Parse reads the payload of an `err` reply or of an error notice. The JSON
// form gives the error as the peer made it; anything else, including JSON
// that is too large, too deep or of the wrong form, becomes a RemoteText error
// with the text (cut at 4 KiB) as extra message. It never returns nil.
func Parse(payload []byte) *Error {
	if e, ok := parseJSON(payload); ok {
		return e
	}
	return New(RemoteText, strings.ToValidUTF8(string(cut(payload)), "\uFFFD"))
}

// cut shortens text to maxText, and by up to three bytes more to end between
// characters.
func cut(text []byte) []byte {
	if len(text) <= maxText {
		return text
	}
	n := maxText
	for range utf8.UTFMax - 1 {
		if utf8.RuneStart(text[n]) {
			break
		}
		n--
	}
	return text[:n]
}

// parseJSON tells whether the payload is an error in JSON.
func parseJSON(payload []byte) (e *Error, ok bool) {
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 || payload[0] != '{' || len(payload) > maxJSON || tooDeep(payload) {
		return nil, false
	}
	doc, ok := decode(payload)
	if !ok {
		return nil, false
	}
	outer, _ := doc["__wazuh_exception__"].(map[string]any)
	return fromBare(outer, maxIDs)
}

// ParseBare reads the form of Bare: class and object. ok is false when data is
// no such error or is nested too deep. The caller has bounded its size; of its
// ids at most ids are kept.
func ParseBare(data []byte, ids int) (e *Error, ok bool) {
	if tooDeep(data) {
		return nil, false
	}
	doc, ok := decode(data)
	if !ok {
		return nil, false
	}
	return fromBare(doc, ids)
}

func fromBare(outer map[string]any, ids int) (e *Error, ok bool) {
	name, _ := outer["__class__"].(string)
	fields, ok := outer["__object__"].(map[string]any)
	class := Class(name)
	if !ok || !class.Known() {
		return nil, false
	}
	return fromFields(class, fields, ids)
}

// decode reads one JSON object with nothing behind it.
func decode(payload []byte) (doc map[string]any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	if dec.Decode(&doc) != nil {
		return nil, false
	}
	_, err := dec.Token()
	return doc, errors.Is(err, io.EOF)
}

// toCode reads the number of an error.
func toCode(v any) (code Code, ok bool) {
	number, _ := v.(json.Number)
	n, err := strconv.ParseUint(number.String(), 10, 16)
	return Code(n), err == nil
}

// fromFields refuses when a field that we rely on has the wrong type. Keys
// that we do not know are left alone: newer peers may send more.
func fromFields(class Class, fields map[string]any, ids int) (e *Error, ok bool) {
	code, ok := toCode(fields["code"])
	if !ok {
		return nil, false
	}
	e = &Error{
		Code:   code,
		Class:  class,
		Extra:  fields["extra_message"],
		Remedy: fields["extra_remediation"],
	}
	if title, _ := fields["title"].(string); title != class.Title() {
		e.Title = title
	}
	e.CommandError, _ = fields["cmd_error"].(bool)
	if nodes, _ := fields["dapi_errors"].(map[string]any); len(nodes) > 0 {
		e.NodeErrors = nodes
	}
	if list, _ := fields["ids"].([]any); class.hasIDs() {
		e.IDs = toIDs(list[:min(len(list), ids)])
	}
	return e, true
}

// toIDs keeps the texts and whole numbers of list.
func toIDs(list []any) []ID {
	var out []ID
	for _, v := range list {
		if id, ok := toID(v); ok {
			out = append(out, id)
		}
	}
	return out
}

// tooDeep counts brackets outside strings, so that nesting is refused before
// anything is decoded. The envelope itself takes two levels.
func tooDeep(payload []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
