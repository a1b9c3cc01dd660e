package result

import (
	"encoding/json"
	"strconv"
)

// Names of the classes of results on the wire.
const (
	classPlain    = "WazuhResult"
	classAffected = "AffectedItemsWazuhResult"
)

// JSON is the wire form, `__wazuh_result__` or `__wazuh_exception__`
// (docs/dapi.md §2). An outcome with neither is sent as error 1000.
func (o Outcome) JSON() []byte {
	switch r := o.Result.(type) {
	case *Plain:
		return envelope(classPlain, len(r.Body), r.append)
	case *Affected:
		return envelope(classAffected, itemBytes(r.Items), r.append)
	}
	if o.Err == nil {
		return undecodable("neither a result nor an error").JSON()
	}
	return o.Err.JSON()
}

// inOnePiece is the longest list of items, or object, that Pieces copies.
const inOnePiece = 64 << 10

// Pieces is JSON in one or more pieces. Those of a long result are the outcome's
// own, which must not be changed afterwards: nothing long is copied.
func (o Outcome) Pieces() [][]byte {
	switch r := o.Result.(type) {
	case *Plain:
		if len(r.Body) > inOnePiece {
			return [][]byte{r.appendHead(begin(nil, classPlain)), r.Body, []byte("}}}")}
		}
	case *Affected:
		if itemBytes(r.Items) > inOnePiece {
			return r.pieces()
		}
	}
	return [][]byte{o.JSON()}
}

func (a *Affected) pieces() [][]byte {
	head := append(begin(make([]byte, 0, 128), classAffected), listOfItems...)
	comma := []byte(", ")
	pieces := append(make([][]byte, 0, 2*len(a.Items)+1), append(head, '['))
	for i, item := range a.Items {
		if i > 0 {
			pieces = append(pieces, comma)
		}
		pieces = append(pieces, item)
	}
	return append(pieces, append(a.appendRest([]byte{']'}), "}}"...))
}

func itemBytes(items []json.RawMessage) (size int) {
	for _, item := range items {
		size += len(item) + len(", ")
	}
	return size
}

// begin writes what stands before the object of a class.
func begin(dst []byte, class string) []byte {
	dst = append(dst, `{"__wazuh_result__": {"__class__": "`...)
	dst = append(dst, class...)
	return append(dst, `", "__object__": `...)
}

// envelope writes a result; size is that of its larger part.
func envelope(class string, size int, object func([]byte) []byte) []byte {
	const others = 1 << 10 // bytes, for most results
	dst := object(begin(make([]byte, 0, size+others), class))
	return append(dst, "}}"...)
}

func (p *Plain) append(dst []byte) []byte {
	return append(append(p.appendHead(dst), p.body()...), '}')
}

// appendHead writes what stands before the object.
func (p *Plain) appendHead(dst []byte) []byte {
	dst = append(dst, `{"str_priority": `...)
	dst = appendTexts(dst, p.StrPriority)
	return append(dst, `, "result": `...)
}

// body is the object, the empty one if there is none.
func (p *Plain) body() json.RawMessage {
	if len(p.Body) == 0 {
		return json.RawMessage("{}")
	}
	return p.Body
}

const listOfItems = `{"affected_items": `

func (a *Affected) append(dst []byte) []byte {
	dst = append(dst, listOfItems...)
	dst = appendList(dst, a.Items, func(dst []byte, v json.RawMessage) []byte { return append(dst, v...) })
	return a.appendRest(dst)
}

// appendRest writes what comes behind the items.
func (a *Affected) appendRest(dst []byte) []byte {
	dst = append(dst, `, "sort_fields": `...)
	dst = appendTexts(dst, a.SortFields)
	dst = append(dst, `, "sort_casting": `...)
	dst = appendTexts(dst, a.casting())
	dst = append(dst, `, "sort_ascending": `...)
	dst = appendList(dst, a.ascending(), strconv.AppendBool)
	dst = append(dst, `, "total_affected_items": `...)
	dst = strconv.AppendInt(dst, int64(a.Total), 10)
	dst = append(dst, `, "total_failed_items": `...)
	dst = strconv.AppendInt(dst, int64(a.TotalFailed()), 10)
	dst = append(dst, `, "dikt": `...)
	dst = a.Extra.append(dst)
	dst = append(dst, `, "all_msg": `...)
	dst = appendText(dst, a.AllMsg)
	dst = append(dst, `, "some_msg": `...)
	dst = appendText(dst, a.SomeMsg)
	dst = append(dst, `, "none_msg": `...)
	dst = appendText(dst, a.NoneMsg)
	dst = append(dst, `, "failed_items_keys": `...)
	dst = appendList(dst, a.Failed, func(dst []byte, f Failure) []byte { return append(dst, f.Err.Bare()...) })
	dst = append(dst, `, "failed_items_values": `...)
	dst = appendList(dst, a.Failed, func(dst []byte, f Failure) []byte { return appendList(dst, distinct(f.IDs), appendID) })
	return append(dst, '}')
}

// casting and ascending are the lists with their defaults.
func (a *Affected) casting() []string {
	if a.SortCasting == nil {
		return []string{"int"}
	}
	return a.SortCasting
}

func (a *Affected) ascending() []bool {
	if a.SortAscending == nil {
		return []bool{true}
	}
	return a.SortAscending
}

// appendTexts writes a list of texts, or null for nil.
func appendTexts(dst []byte, list []string) []byte {
	if list == nil {
		return append(dst, "null"...)
	}
	return appendList(dst, list, appendText)
}

func appendText(dst []byte, s string) []byte {
	if isSimple(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	text, err := encode(s)
	if err != nil {
		return append(dst, `""`...) // cannot be: any string can be encoded
	}
	return append(dst, text...)
}

// isSimple tells whether s stands in JSON as it is.
func isSimple(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendID(dst []byte, id ID) []byte {
	if id.IsNumber() {
		return append(dst, id.String()...)
	}
	return appendText(dst, id.String())
}

func appendList[T any](dst []byte, list []T, element func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = element(dst, v)
	}
	return append(dst, ']')
}
