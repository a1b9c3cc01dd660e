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
}

func (*Affected) isResult() {}

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
