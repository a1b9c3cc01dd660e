package query

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/sqlitedb"
)

// animals is a table to ask.
var animals = &Table{
	From: "animal", Key: "id", Moments: "id <> 0",
	Fields: []Field{
		{Name: "id", Column: "id", Kind: Number},
		{Name: "name", Column: "name"},
		{Name: "legs", Column: "legs", Kind: Number},
		{Name: "size", Column: "size", Order: []string{"CAST(size AS INTEGER)"}},
		{Name: "born", Column: "born", Kind: Moment},
		{Name: "herd", Column: "herd", Kind: Names},
		{Name: "secret", Column: "secret", Hidden: true},
	},
	Now: func() time.Time { return time.Unix(1_000_000, 0) },
}

const animalRows = `INSERT INTO animal VALUES
	(0, 'Keeper', 2, NULL, 1, NULL, 'k'),
	(1, 'Ant', 6, '9', 999000, 'small,red', 'a'),
	(2, 'bee', 6, '10', 900000, 'small,flying', 'b'),
	(3, 'Cat', 4, NULL, 500000, 'red', 'c'),
	(4, 'o''duck', 2, '100', NULL, NULL, NULL)`

func animalDB(t *testing.T) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{
		Path: filepath.Join(t.TempDir(), "animals.db"), AppID: 1,
		Migrations: []string{"CREATE TABLE animal (id INTEGER PRIMARY KEY, name TEXT, legs INTEGER, size TEXT, born INTEGER, herd TEXT, secret TEXT); " + animalRows},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// ask gives the first column of the rows.
func ask(t *testing.T, db *sqlitedb.DB, s Statement) string {
	t.Helper()
	var got []string
	err := db.Read(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.SelectOnce(c, s.SQL, func(st *sqlitedb.Stmt) error {
			got = append(got, st.ColumnText(0))
			return nil
		}, s.Args...)
	})
	if err != nil {
		t.Fatalf("%s: %v", s.SQL, err)
	}
	return strings.Join(got, " ")
}

func TestWhere_Q(t *testing.T) {
	db := animalDB(t)
	for q, want := range map[string]string{
		"name=ANT":                  "1",
		"name!=ant":                 "0 2 3 4",
		"name~A":                    "1 3",
		"name=o'duck":               "4",
		"name~%":                    "", // no wildcard
		"name=x' OR '1'='1":         "",
		"id=003":                    "3",
		"id<2":                      "0 1",
		"legs>4":                    "1 2",
		"legs~6":                    "1 2",
		"size=null":                 "0 3",
		"size!=null":                "1 2 4",
		"born<1h":                   "1",
		"born=7d":                   "1 2 3",
		"born>1d":                   "2 3",
		"born>1970-01-06":           "1 2 3",
		"born<1970-01-11 00:00:00":  "3",
		"born=null":                 "4",
		"herd=red":                  "1 3",
		"herd=RED":                  "1 3",
		"herd=re":                   "",
		"herd!=red":                 "2",
		"herd~re":                   "1 3",
		"herd=null":                 "0 4",
		"name=ant,name=bee;legs=4":  "1",
		"(name=ant,name=bee);id=2":  "2",
		"name=all;legs=4":           "3",
		"name=all,legs=4":           "3",
		"name=all":                  "0 1 2 3 4",
		"(name=all,legs=all);id=1":  "1",
		"name>bee;name<o":           "0 3",
		"legs=four":                 "",
		"name=\"Ant\"":              "",
		"herd=small;(id=1,name~ee)": "1 2",
	} {
		w := animals.Where()
		if err := w.Q(q); err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		s, err := w.Keys(&Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, db, s); got != want {
			t.Errorf("%s: %q, want %q (%s)", q, got, want, s.SQL)
		}
	}
}

func TestWhere_Wrong(t *testing.T) {
	for q, want := range map[string]fault.Code{
		"nobody=1": fault.BadQueryField, "secret~a": fault.BadQueryField, "herd<x": fault.BadOperator, "born~1": fault.BadOperator,
		"born>yesterday": fault.BadDate, "born>2021-13-01": fault.BadDate, "zzz": fault.BadQuery,
	} {
		if err := animals.Where().Q(q); !errors.Is(err, fault.New(want, nil)) {
			t.Errorf("%s: %v, want error %d", q, err, want)
		}
	}
	for _, name := range []string{"nobody", "secret"} {
		if err := animals.Where().Filter(name, []string{"x"}); !errors.Is(err, fault.New(fault.BadQueryField, nil)) {
			t.Errorf("filter %s: %v", name, err)
		}
	}
}

func TestWhere_Filter(t *testing.T) {
	db := animalDB(t)
	for _, c := range []struct {
		field  string
		values []string
		want   string
	}{
		{"name", []string{"ANT", "cat"}, "1 3"},
		{"name", []string{"ant", "all"}, "0 1 2 3 4"},
		{"size", []string{"null", "9"}, "0 1 3"},
		{"herd", []string{"flying"}, "2"},
		{"legs", []string{"6"}, "1 2"},
		{"name", nil, "0 1 2 3 4"},
	} {
		w := animals.Where()
		if err := w.Filter(c.field, c.values); err != nil {
			t.Fatal(err)
		}
		s, err := w.Keys(&Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, db, s); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.field, c.values, got, c.want)
		}
	}
}

func TestWhere_Search(t *testing.T) {
	db := animalDB(t)
	for _, c := range []struct {
		search Search
		want   string
	}{
		{Search{Value: "EE"}, "0 2"},
		{Search{Value: "ee", Negated: true}, "1 3 4"},
		{Search{Value: "003"}, "3"},
		{Search{Value: "flying"}, "2"},
		{Search{Value: "%"}, ""},
		{Search{Value: "k", Negated: true}, "1 2 3"}, // not by the secret
		{Search{Value: "' or '1'='1"}, ""},
	} {
		w := animals.Where()
		w.Search(&c.search)
		s, err := w.Keys(&Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, db, s); got != c.want {
			t.Errorf("%+v: %q, want %q", c.search, got, c.want)
		}
	}
}

func TestTable_Order(t *testing.T) {
	db := animalDB(t)
	for _, c := range []struct {
		sort *Sort
		want string
	}{
		{nil, "0 1 2 3 4"},
		{&Sort{Order: "desc"}, "4 3 2 1 0"},
		{&Sort{Fields: []string{"size"}, Order: "asc"}, "0 3 1 2 4"},
		{&Sort{Fields: []string{"legs", "name"}, Order: "desc"}, "2 1 3 4 0"},
		{&Sort{Fields: []string{"secret"}, Order: "asc"}, "4 1 2 3 0"},
	} {
		s, err := animals.Where().Keys(&Request{Sort: c.sort})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, db, s); got != c.want {
			t.Errorf("%+v: %q, want %q", c.sort, got, c.want)
		}
	}
	_, err := animals.Where().Keys(&Request{Sort: &Sort{Fields: []string{"id", "zzz"}, Order: "asc"}})
	if !errors.Is(err, fault.New(fault.BadSortField, nil)) {
		t.Errorf("unknown field: %v", err)
	}
}

// Rows by their keys come in the order of the keys.
func TestTable_RowsOf(t *testing.T) {
	db := animalDB(t)
	fields, err := animals.Selected([]string{"name"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := animals.RowsOf([]int64{3, 1, 99, 4, 0}, fields)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ask(t, db, s), "Cat Ant o'duck Keeper"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTable_Distinct(t *testing.T) {
	db := animalDB(t)
	fields, err := animals.Selected([]string{"legs"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := animals.Where()
	w.Filled(fields)
	s, err := w.Rows(&Request{Distinct: true, Limit: 2, Offset: 1, Sort: &Sort{Fields: []string{"legs"}, Order: "desc"}}, fields)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ask(t, db, s), "4 2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := ask(t, db, w.Count(fields)), "3"; got != want {
		t.Errorf("counted %q, want %q", got, want)
	}
	if _, err := animals.Selected([]string{"name", "secret"}, nil); !errors.Is(err, fault.New(fault.BadSelect, nil)) {
		t.Errorf("a hidden field: %v", err)
	}
}

func TestWhere_Groups(t *testing.T) {
	db := animalDB(t)
	fields, err := animals.Selected([]string{"legs"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := animals.Where().Groups(&Request{}, fields)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ask(t, db, s), "2 6 4"; got != want { // by the first of each
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]int64{"10": 10, "10s": 10, "2m": 120, "2h": 7200, "7d": 604800, "0s": 0} {
		if got, ok := Span(text); !ok || got != want {
			t.Errorf("%s: %d %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "d", "-1", "1w", "1.5h", "10 s", "9999999999999999"} {
		if got, ok := Span(text); ok {
			t.Errorf("%q is %d seconds", text, got)
		}
	}
}
