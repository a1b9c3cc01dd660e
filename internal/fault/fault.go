package fault

import (
	"errors"
	"strconv"
	"strings"
)

// Error is one numbered error. Only Err stays at home; everything else may
// travel to another node or to a user of the API.
type Error struct {
	Code  Code
	Class Class
	// Extra is the extra message: nil, a string, or decoded JSON (maps, lists,
	// strings, json.Number, bool). An object fills the {names} of the text.
	Extra any
	// Remedy is the remedy that travels with the error: nil or a string.
	Remedy any
	// IDs are the resources concerned; on the wire only for the classes of the API.
	IDs []ID
	// Title replaces the title of the class; empty in all errors made here. It
	// keeps an error as it came when it is passed on.
	Title string
	// CommandError and NodeErrors are passed on as they came (`cmd_error`,
	// `dapi_errors`: by node name).
	CommandError bool
	NodeErrors   map[string]any
	// Err is the cause. It is never sent.
	Err error
}

// New makes an error of the code in the code's usual class. extra may be nil.
func New(code Code, extra any) *Error {
	return &Error{Code: code, Class: code.Class(), Extra: extra}
}

// Wrap is New for an error with a cause; the cause's text is not the extra
// message unless the caller makes it so, because it may name local paths.
func Wrap(code Code, extra any, cause error) *Error {
	e := New(code, extra)
	e.Err = cause
	return e
}

// From gives the *Error inside err. Any other error becomes an Unspecified
// one of ClassInternal with its text as extra message; nil stays nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: Unspecified, Class: ClassInternal, Extra: err.Error(), Err: err}
}

// Has tells whether err is, or wraps, an *Error of the code.
func Has(err error, code Code) bool {
	return errors.Is(err, &Error{Code: code})
}

// Error is the printed form, `Error CODE - TEXT[: extra]`. Text that came from
// a peer is in it as it came: whoever logs it must quote it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("Error ")
	b.WriteString(strconv.Itoa(int(e.Code)))
	b.WriteString(" - ")
	b.WriteString(e.Message())
	return b.String()
}

// Message is the printed form without the number: `TEXT[: extra]`.
func (e *Error) Message() string {
	text := e.Code.Text()
	switch extra := e.Extra.(type) {
	case nil:
		return text
	case string:
		return text + ": " + extra
	case map[string]any:
		if filled, ok := fill(text, extra); ok {
			return filled
		}
		return text + ": " + describe(extra)
	default:
		return text + ": " + describe(extra)
	}
}

// Heading is the title that the error travels with: its own, or that of its class.
func (e *Error) Heading() string {
	if e.Title != "" {
		return e.Title
	}
	return e.class().Title()
}

// class is the class on the wire; one that does not exist gives way to that
// of the code.
func (e *Error) class() Class {
	if e.Class.Known() {
		return e.Class
	}
	return e.Code.Class()
}

// Identity is equal for errors that share one entry in a list of failed items:
// those of the same title, number, extra texts and kind (docs/dapi.md §2).
func (e *Error) Identity() string {
	return string(appendJSON(nil, []any{e.Heading(), int(e.Code), e.CommandError, e.Extra, e.Remedy}, 0))
}

// Unwrap gives the cause, which may be nil.
func (e *Error) Unwrap() error { return e.Err }

// Is tells whether target is an *Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// fill puts the values of extra into the {names} of text; ok is false when
// text has none.
func fill(text string, extra map[string]any) (filled string, ok bool) {
	if !strings.Contains(text, "{") {
		return text, false
	}
	var pairs []string
	for name, value := range extra {
		s, isText := value.(string)
		if !isText {
			s = describe(value)
		}
		pairs = append(pairs, "{"+name+"}", s)
	}
	return strings.NewReplacer(pairs...).Replace(text), true
}

// describe prints decoded JSON for people: a foreign exception as
// `Class: arguments`, anything else as JSON.
func describe(v any) string {
	if m, ok := v.(map[string]any); ok {
		if foreign, ok := m["__unhandled_exc__"].(map[string]any); ok {
			class, _ := foreign["__class__"].(string)
			return class + ": " + string(appendJSON(nil, foreign["__args__"], 0))
		}
	}
	return string(appendJSON(nil, v, 0))
}
