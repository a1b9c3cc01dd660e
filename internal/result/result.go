package result

import (
	"bytes"
	"encoding/json"
	"fmt"

	"testudo/internal/fault"
)

// ID names one resource, such as an agent or a rule.
type ID = fault.ID

// TextID is the id that is sent as a text, such as an agent's "001".
func TextID(text string) ID { return fault.TextID(text) }

// NumberID is the id that is sent as a number, such as a rule's.
func NumberID(n int64) ID { return fault.NumberID(n) }

// Result is what a function gives: *Plain or *Affected.
type Result interface{ isResult() }

// Plain is a result that is one object (`WazuhResult`).
type Plain struct {
	// StrPriority is the order in which texts win over each other when results
	// are merged; nil sends null.
	StrPriority []string
	// Body is the object.
	Body json.RawMessage
}

func (*Plain) isResult() {}

// NewPlain makes a result of a value that encodes to a JSON object. Anything
// else is an error.
func NewPlain(body any) (*Plain, error) {
	text, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	if text[0] != '{' {
		return nil, fmt.Errorf("encode result: %T is no object", body)
	}
	return &Plain{Body: text}, nil
}

// Affected is a result that lists what an operation was about
// (`AffectedItemsWazuhResult`): the items, and the ids that failed and why.
type Affected struct {
	// Items are the items, sorted as the three lists below say.
	Items []json.RawMessage
	// SortFields are the members of an item by which the items of several
	// nodes are merged, dots lead into objects; nil (null on the wire) is the
	// item itself.
	SortFields []string
	// SortCasting says for each field as what it is compared, "int", "float"
	// or "str"; nil is ["int"].
	SortCasting []string
	// SortAscending is the direction of each field; nil is [true].
	SortAscending []bool
	// Total counts all items there are, which may be more than Items.
	Total int
	// Failed holds one entry for each distinct error.
	Failed []Failure
	// Extra are further members of the answer (`dikt`).
	Extra Object
	// The message of the answer when all, some or none succeeded.
	AllMsg, SomeMsg, NoneMsg string

	index failureIndex
}

func (*Affected) isResult() {}

// Failure is an error and the ids that failed with it, without order.
type Failure struct {
	Err *fault.Error
	IDs []ID
}

// Add appends one item and counts it. The error is that of an item that
// cannot be encoded.
func (a *Affected) Add(item any) error {
	text, err := encode(item)
	if err != nil {
		return fmt.Errorf("encode item: %w", err)
	}
	a.Items = append(a.Items, text)
	a.Total++
	return nil
}

// Fail adds ids that failed with err. Equal errors (fault.Error.Identity)
// share one entry, and an id stands in it once.
func (a *Affected) Fail(err *fault.Error, ids ...ID) {
	a.Failed = a.index.add(a.Failed, err, ids)
}

// TotalFailed counts the ids that failed.
func (a *Affected) TotalFailed() int {
	n := 0
	for _, f := range a.Failed {
		n += len(f.IDs)
	}
	return n
}

// failureIndex finds the entry of an error and the ids in it, so that many
// single failures cost little. It follows the list it is used with, also when
// somebody else has changed its length.
type failureIndex struct {
	entries map[string]int
	ids     []map[ID]struct{}
}

func (x *failureIndex) add(list []Failure, err *fault.Error, ids []ID) []Failure {
	if len(x.ids) != len(list) {
		x.rebuild(list)
	}
	key := err.Identity()
	i, ok := x.entries[key]
	if !ok {
		i = len(list)
		list = append(list, Failure{Err: err})
		x.entries[key] = i
		x.ids = append(x.ids, map[ID]struct{}{})
	}
	if len(x.ids[i]) != len(list[i].IDs) {
		x.ids[i], list[i].IDs = distinct(list[i].IDs)
	}
	for _, id := range ids {
		if _, there := x.ids[i][id]; !there {
			x.ids[i][id] = struct{}{}
			list[i].IDs = append(list[i].IDs, id)
		}
	}
	return list
}

func (x *failureIndex) rebuild(list []Failure) {
	x.entries = make(map[string]int, len(list)+1)
	x.ids = make([]map[ID]struct{}, len(list), len(list)+1)
	for i, f := range list {
		if key := f.Err.Identity(); !x.has(key) {
			x.entries[key] = i
		}
		x.ids[i], list[i].IDs = distinct(f.IDs)
	}
}

func (x *failureIndex) has(key string) bool {
	_, ok := x.entries[key]
	return ok
}

// distinct gives the ids as a set, and the list of them with each id once.
func distinct(ids []ID) (map[ID]struct{}, []ID) {
	set := make(map[ID]struct{}, len(ids))
	var once []ID
	for _, id := range ids {
		if _, there := set[id]; !there {
			set[id] = struct{}{}
			once = append(once, id)
		}
	}
	return set, once
}

// Outcome is what became of a request: a result or an error, never both.
type Outcome struct {
	Result Result
	Err    *fault.Error
}

// encode is json.Marshal without the escapes that only matter inside HTML.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
