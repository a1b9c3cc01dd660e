package query

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"testudo/internal/fault"
)

// Kind says how the values of a field are compared.
type Kind int

// The kinds.
const (
	Text   Kind = iota // whatever the case
	Number             // whole numbers
	Moment             // seconds since 1970, asked for as dates and spans of time
	Names              // a text of names joined by commas
)

// Field is what users call a column.
type Field struct {
	Name   string
	Column string // of the table, as statements have it
	Kind   Kind
	Order  []string // expressions by which it is ordered; nil: the column
	Hidden bool     // neither selected, searched nor compared: only to sort by
}

// Table is a table of the agent database as users see it.
type Table struct {
	From    string // of the statements
	Key     string // the name of the field that rows are told apart and ordered by
	Fields  []Field
	Moments string // a condition that holds in addition where a Moment is compared

	// Plain makes statements that a database without functions for JSON, and older
	// ones of SQLite, understand. They are longer.
	Plain bool

	// Value replaces a value before it is compared with a field; nil for none.
	Value func(f *Field, value string) string
	Now   func() time.Time // nil: time.Now
}

// Field finds a field by its name, nil for none.
func (t *Table) Field(name string) *Field {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return &t.Fields[i]
		}
	}
	return nil
}

func (t *Table) names() (all []string) {
	for _, f := range t.Fields {
		all = append(all, f.Name)
	}
	return all
}

// Where is a condition that is put together, with the values of its parameters.
type Where struct {
	t     *Table
	terms []string
	args  []any
}

// Where begins a condition that all rows meet.
func (t *Table) Where() *Where { return &Where{t: t} }

// And adds a condition of our own; each "?" of it stands for one of args.
func (w *Where) And(condition string, args ...any) *Where {
	w.terms, w.args = append(w.terms, "("+condition+")"), append(w.args, args...)
	return w
}

// Empty tells whether all rows meet it.
func (w *Where) Empty() bool { return len(w.terms) == 0 }

// In adds that a column holds one of the numbers, NotIn that it holds none.
func (w *Where) In(column string, numbers []int64) error { return w.among(column+" IN ", numbers) }

// NotIn is the contrary of In.
func (w *Where) NotIn(column string, numbers []int64) error {
	return w.among(column+" NOT IN ", numbers)
}

func (w *Where) among(test string, numbers []int64) error {
	if w.t.Plain {
		w.And(test + "(" + listOf(numbers, ",") + ")")
		return nil
	}
	list, err := json.Marshal(append([]int64{}, numbers...))
	if err != nil {
		return err
	}
	w.And(test+"(SELECT value FROM json_each(?))", string(list))
	return nil
}

// listOf writes numbers, with a text between two of them.
func listOf(numbers []int64, between string) string {
	var list []byte
	for i, n := range numbers {
		if i > 0 {
			list = append(list, between...)
		}
		list = strconv.AppendInt(list, n, 10)
	}
	return string(list)
}

// Filter adds that a field has one of the values, whatever the case. "all" among
// them means that it does not matter, "null" stands for no value. Errors:
// fault.BadQueryField.
func (w *Where) Filter(name string, values []string) error {
	f := w.t.Field(name)
	if f == nil || f.Hidden {
		return w.t.unknown(name)
	}
	if slices.Contains(values, "all") || len(values) == 0 {
		return nil
	}
	if len(values) > maxClauses {
		return fault.New(fault.BadQuery, fmt.Sprintf("more than %d values of %s", maxClauses, name))
	}
	var parts []string
	for _, v := range values {
		part, err := w.compare(f, Clause{name, Equal, v})
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	w.terms = append(w.terms, "("+strings.Join(parts, " OR ")+")")
	return nil
}

func (t *Table) unknown(name string) error {
	return fault.New(fault.BadQueryField, "Available fields: "+strings.Join(t.names(), ", ")+". Field: "+clip(name))
}

// Q adds a condition in the language of `q`. Errors: those of Parse,
// fault.BadQueryField, BadOperator, BadDate.
func (w *Where) Q(text string) error {
	if text == "" {
		return nil
	}
	n, err := Parse(text)
	if err != nil {
		return err
	}
	term, err := w.node(n)
	if err == nil && term != "" {
		w.terms = append(w.terms, "("+term+")")
	}
	return err
}

// node writes a part of a query; "" for one that does not count.
func (w *Where) node(n Node) (string, error) {
	if n.Clause != nil {
		f := w.t.Field(n.Clause.Field)
		if f == nil || f.Hidden {
			return "", w.t.unknown(n.Clause.Field)
		}
		if n.Clause.Value == "all" {
			return "", nil
		}
		return w.compare(f, *n.Clause)
	}
	var parts []string
	for _, p := range n.Parts {
		part, err := w.node(p)
		if err != nil {
			return "", err
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return "", nil
	}
	word := " AND "
	if n.Or {
		word = " OR "
	}
	return "(" + strings.Join(parts, word) + ")", nil
}

// compare writes one comparison.
func (w *Where) compare(f *Field, c Clause) (string, error) {
	if w.t.Value != nil {
		c.Value = w.t.Value(f, c.Value)
	}
	if c.Value == "null" && (c.Op == Equal || c.Op == Unequal) {
		if c.Op == Equal {
			return f.Column + " IS NULL", nil
		}
		return f.Column + " IS NOT NULL", nil
	}
	switch {
	case f.Kind == Moment:
		return w.moment(f, c)
	case f.Kind == Names && c.Op != Contains:
		if c.Op == Less || c.Op == Greater {
			return "", fault.New(fault.BadOperator, string(c.Op))
		}
		w.args = append(w.args, ","+c.Value+",")
		return "instr(lower(',' || " + f.Column + " || ','), lower(?)) " + map[Op]string{Equal: "> 0", Unequal: "= 0"}[c.Op], nil
	case c.Op == Contains:
		w.args = append(w.args, c.Value)
		return "instr(lower(" + f.Column + "), lower(?)) > 0", nil
	case f.Kind == Number:
		if n, err := strconv.ParseInt(c.Value, 10, 64); err == nil {
			w.args = append(w.args, n)
			return f.Column + " " + string(c.Op) + " ?", nil
		}
	}
	w.args = append(w.args, c.Value)
	return f.Column + " COLLATE NOCASE " + string(c.Op) + " ?", nil
}

// moment compares a time: a span, such as 7d, with the time since then ("less"
// and "equal" are younger), or a date with the time itself.
func (w *Where) moment(f *Field, c Clause) (string, error) {
	if c.Op == Contains {
		return "", fault.New(fault.BadOperator, string(c.Op))
	}
	also := ""
	if w.t.Moments != "" {
		also = " AND " + w.t.Moments
	}
	if seconds, ok := Span(c.Value); ok {
		w.args = append(w.args, w.t.now().Unix()-seconds)
		sign := map[Op]string{Less: " > ?", Equal: " > ?", Greater: " < ?", Unequal: " < ?"}[c.Op]
		return "(" + f.Column + sign + also + ")", nil
	}
	at, ok := date(c.Value)
	if !ok {
		return "", fault.New(fault.BadDate, clip(c.Value))
	}
	w.args = append(w.args, at.Unix())
	return "(" + f.Column + " " + string(c.Op) + " ?" + also + ")", nil
}

func (t *Table) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// Span reads a span of time: digits, and d, h, m or s behind them. It gives
// seconds.
func Span(text string) (seconds int64, ok bool) {
	unit := int64(1)
	if n := len(text); n > 0 {
		switch text[n-1] {
		case 'd':
			unit, text = 86400, text[:n-1]
		case 'h':
			unit, text = 3600, text[:n-1]
		case 'm':
			unit, text = 60, text[:n-1]
		case 's':
			text = text[:n-1]
		}
	}
	if text == "" || strings.Trim(text, "0123456789") != "" || len(text) > 12 {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n * unit, err == nil
}

// date reads a date, or a date and a time of day, of UTC.
func date(text string) (time.Time, bool) {
	for _, layout := range []string{
		time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.RFC3339Nano, "2006-01-02 15:04:05Z07:00",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
