package query

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/fault"
)

// Search adds that one of the values contains the text, or none of them.
func (w *Where) Search(s *Search) {
	if s == nil {
		return
	}
	term, others := "", []string{"char(31)"} // a sign that no value has between two of them
	for i := range w.t.Fields {
		switch f := &w.t.Fields[i]; {
		case f.Hidden:
		case f.Name == w.t.Key && f.Kind == Number:
			value := s.Value
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				value = strconv.FormatInt(n, 10) // "007" is meant as the number
			}
			term = "instr(" + f.Column + ", ?) > 0 OR "
			w.args = append(w.args, value)
		default:
			others = append(others, f.Column)
		}
	}
	term = "(" + term + "instr(lower(" + w.t.all(others) + "), lower(?)) > 0)"
	w.args = append(w.args, s.Value)
	if s.Negated {
		term = "(NOT " + term + ")"
	}
	w.terms = append(w.terms, term)
}

// all joins the values of columns behind the first, which separates them.
func (t *Table) all(columns []string) string {
	if !t.Plain {
		return "concat_ws(" + strings.Join(columns, ", ") + ")"
	}
	return "coalesce(" + strings.Join(columns[1:], ", '') || "+columns[0]+" || coalesce(") + ", '')"
}

// String is the condition as it stands in a statement, "" for none.
func (w *Where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

// Statement is a statement with the values of its parameters.
type Statement struct {
	SQL     string
	Args    []any
	Columns int // that each of its rows has
}

// Count counts the rows that meet the condition; selected are the fields of
// which only distinct rows count, nil for all rows.
func (w *Where) Count(distinct []*Field) Statement {
	if distinct == nil {
		return Statement{"SELECT count(*) FROM " + w.t.From + w.String(), w.args, 1}
	}
	return Statement{"SELECT count(*) FROM (SELECT DISTINCT " + columns(distinct) + " FROM " + w.t.From + w.String() + ")", w.args, 1}
}

// Plain tells whether all rows are wanted, in the order of the key.
func (w *Where) Plain(r *Request) bool {
	return w.Empty() && !r.Distinct && (r.Sort == nil || len(r.Sort.Fields) == 0)
}

// Keys selects the keys of all rows that meet the condition, in the order that
// the request wants. Errors: fault.BadSortField.
func (w *Where) Keys(r *Request) (Statement, error) {
	order, err := w.t.order(r.Sort)
	if err != nil {
		return Statement{}, err
	}
	return Statement{
		"SELECT " + w.t.Field(w.t.Key).Column + " FROM " + w.t.From + w.String() +
			" ORDER BY " + strings.Join(expressions(order, r.Sort.descending()), ", "),
		w.args, 1,
	}, nil
}

// RowsOf selects the fields of the rows with the keys, in their order.
func (t *Table) RowsOf(keys []int64, fields []*Field) (Statement, error) {
	wanted, args, err := t.wanted(keys)
	// SQLite goes through the sides of a CROSS JOIN from left to right.
	return Statement{
		"SELECT " + columns(fields) + " FROM " + wanted + " CROSS JOIN " + t.From +
			" ON " + t.From + "." + t.Field(t.Key).Column + " = wanted",
		args, len(fields),
	}, err
}

// wanted is a table with the keys in the column "wanted", in their order.
func (t *Table) wanted(keys []int64) (table string, args []any, err error) {
	switch {
	case t.Plain && len(keys) == 0:
		return "(SELECT NULL AS wanted WHERE 0)", nil, nil
	case t.Plain:
		return "(SELECT column1 AS wanted FROM (VALUES (" + listOf(keys, "),(") + ")))", nil, nil
	}
	list, err := json.Marshal(append([]int64{}, keys...))
	return "(SELECT value AS wanted FROM json_each(?))", []any{string(list)}, err
}

// Rows selects the fields of the rows that meet the condition, in the order and
// the piece that the request wants. Errors: fault.BadSortField.
func (w *Where) Rows(r *Request, fields []*Field) (Statement, error) {
	order, err := w.t.order(r.Sort)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{"SELECT ", w.args, len(fields)}
	if r.Distinct {
		s.SQL += "DISTINCT "
		order = onlyOf(order, fields)
	}
	s.SQL += columns(fields) + " FROM " + w.t.From + w.String()
	if order != nil {
		s.SQL += " ORDER BY " + strings.Join(expressions(order, r.Sort.descending()), ", ")
	}
	s.SQL += r.piece()
	return s, nil
}

// Args are the values of the condition's parameters.
func (w *Where) Args() []any { return w.args }

// Groups counts the rows that meet the condition by their values of the fields;
// the count comes as the last column. Groups are in the order wanted, or in that
// of their first key. Errors: fault.BadSortField.
func (w *Where) Groups(r *Request, fields []*Field) (Statement, error) {
	order, err := w.t.order(r.Sort)
	if err != nil {
		return Statement{}, err
	}
	if i := slices.Index(order, w.t.Field(w.t.Key)); i >= 0 {
		first := *order[i]
		first.Column = "min(" + first.Column + ")"
		order[i] = &first
	}
	by := columns(fields)
	return Statement{
		"SELECT " + by + ", count(*) FROM " + w.t.From + w.String() + " GROUP BY " + by +
			" ORDER BY " + strings.Join(expressions(order, r.Sort.descending()), ", ") + r.piece(),
		w.args, len(fields) + 1,
	}, nil
}

// piece is the end of a statement. Its numbers are written out, not bound: for a
// bound limit SQLite prepares the statement a second time.
func (r *Request) piece() string {
	limit := -1
	if r.Limit > 0 {
		limit = r.Limit
	}
	return " LIMIT " + strconv.Itoa(limit) + " OFFSET " + strconv.Itoa(r.Offset)
}

// order gives the fields to order by; rows that are equal in all of them go by
// the key.
func (t *Table) order(s *Sort) (fields []*Field, err error) {
	if s != nil {
		var wrong []string
		for _, name := range s.Fields {
			f := t.Field(name)
			if f == nil {
				wrong = append(wrong, name)
				continue
			}
			fields = append(fields, f)
		}
		if wrong != nil {
			return nil, t.badSort(wrong)
		}
	}
	if key := t.Field(t.Key); key != nil && !slices.Contains(fields, key) {
		fields = append(fields, key)
	}
	return fields, nil
}

func (t *Table) badSort(wrong []string) error {
	allowed := t.names()
	slices.Sort(allowed)
	text := strings.Builder{}
	for i, name := range allowed {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("'" + name + "'")
	}
	return fault.New(fault.BadSortField, "Allowed sort fields: ["+text.String()+"]. Fields: "+clip(strings.Join(wrong, ", ")))
}

// onlyOf leaves out the fields that are not selected: distinct rows have no
// order by others.
func onlyOf(order, selected []*Field) (kept []*Field) {
	for _, f := range order {
		if slices.Contains(selected, f) && f.Order == nil {
			kept = append(kept, f)
		}
	}
	return kept
}

func expressions(order []*Field, descending bool) (list []string) {
	direction := " ASC"
	if descending {
		direction = " DESC"
	}
	for _, f := range order {
		if f.Order == nil {
			list = append(list, f.Column+direction)
			continue
		}
		for _, e := range f.Order {
			list = append(list, e+direction)
		}
	}
	return list
}

// Selected gives the fields of the names, or all that are not hidden for nil, in
// the order of the table; always names those that are there whatever was asked
// for. Errors: fault.BadSelect.
func (t *Table) Selected(names, always []string) (fields []*Field, err error) {
	var wrong []string
	for _, name := range names {
		if f := t.Field(name); f == nil || f.Hidden {
			wrong = append(wrong, name)
		}
	}
	if wrong != nil {
		return nil, fault.New(fault.BadSelect, "Allowed select fields: "+strings.Join(t.shown(), ", ")+". Fields "+clip(strings.Join(wrong, ", ")))
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if !f.Hidden && (names == nil || slices.Contains(names, f.Name) || slices.Contains(always, f.Name)) {
			fields = append(fields, f)
		}
	}
	return fields, nil
}

func (t *Table) shown() (names []string) {
	for _, f := range t.Fields {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	return names
}

// Filled adds that none of the fields is without a value.
func (w *Where) Filled(fields []*Field) {
	for _, f := range fields {
		w.And(f.Column + " IS NOT NULL AND " + f.Column + " <> ''")
	}
}

func columns(fields []*Field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.Column
	}
	return strings.Join(list, ", ")
}
