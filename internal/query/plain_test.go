package query

import (
	"strings"
	"testing"
)

// Statements for plain databases give the same, without functions that these do
// not have.
func TestPlain(t *testing.T) {
	db := animalDB(t)
	both := func(name, want string, make func(t *Table) (Statement, error)) {
		for _, plain := range []bool{false, true} {
			table := *animals
			table.Plain = plain
			s, err := make(&table)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := ask(t, db, s); got != want {
				t.Errorf("%s, plain %t: got %s, want %s", name, plain, got, want)
			}
			if plain && (strings.Contains(s.SQL, "json") || strings.Contains(s.SQL, "concat_ws")) {
				t.Errorf("%s: %s", name, s.SQL)
			}
		}
	}
	search := func(s Search) func(*Table) (Statement, error) {
		return func(table *Table) (Statement, error) {
			w := table.Where()
			w.Search(&s)
			return w.Keys(&Request{})
		}
	}
	both("search", "1 2", search(Search{Value: "SMALL"}))
	both("search of others", "0 3 4", search(Search{Value: "small", Negated: true}))
	both("search across values", "", search(Search{Value: "ant6"}))
	among := func(in bool, numbers ...int64) func(*Table) (Statement, error) {
		return func(table *Table) (Statement, error) {
			w := table.Where()
			if in {
				return must(w.In("id", numbers), w)
			}
			return must(w.NotIn("id", numbers), w)
		}
	}
	both("among", "1 3", among(true, 3, 1, 77))
	both("among none", "", among(true))
	both("not among", "0 2 4", among(false, 3, 1))
	both("rows in an order", "Cat Ant", func(table *Table) (Statement, error) {
		return table.RowsOf([]int64{3, 77, 1}, []*Field{table.Field("name")})
	})
	both("no rows", "", func(table *Table) (Statement, error) { return table.RowsOf(nil, []*Field{table.Field("name")}) })
}

func must(err error, w *Where) (Statement, error) {
	if err != nil {
		return Statement{}, err
	}
	return w.Keys(&Request{})
}
