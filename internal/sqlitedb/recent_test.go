package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// prepared counts the statements that a connection keeps.
func prepared(c *Conn) int { return reflect.ValueOf(c).Elem().FieldByName("stmts").Len() }

func TestRecent(t *testing.T) {
	o := testOptions(t)
	o.Readers = 1
	db := mustOpen(t, o)
	addPet(t, db, "cat")
	var r Recent
	read := func(ctx context.Context, query string, args ...any) (got string, kept int, err error) {
		err = db.Read(ctx, func(c *Conn) error {
			err := r.Select(c, query, func(s *Stmt) error { got += s.ColumnText(0); return nil }, args...)
			kept = prepared(c)
			return err
		})
		return got, kept, err
	}
	most := recentStatements - 1
	for range 2 { // the transaction's own statements stay as well
		_, kept, err := read(t.Context(), "SELECT 'first'")
		if err != nil {
			t.Fatal(err)
		}
		most = recentStatements - 1 + kept
	}
	for round := range 3 {
		for i := range 2*recentStatements + round {
			want := fmt.Sprintf("%d cat", i)
			got, kept, err := read(t.Context(), fmt.Sprintf("SELECT '%d ' || name FROM pet WHERE name = ?", i), "cat")
			if got != want || err != nil || kept > most {
				t.Fatalf("got %q, %v, with %d statements kept; want %q", got, err, kept, want)
			}
			again, same, err := read(t.Context(), fmt.Sprintf("SELECT '%d ' || name FROM pet WHERE name = ?", i), "dog")
			if again != "" || err != nil || same != kept {
				t.Fatalf("with another value: %q, %v, %d statements kept", again, err, same)
			}
		}
	}
	t.Run("statements that fail", func(t *testing.T) {
		for i := range 2 * recentStatements {
			if _, kept, err := read(t.Context(), fmt.Sprintf("SELECT nothing%d", i)); err == nil || kept > most {
				t.Fatalf("%v, %d statements kept", err, kept)
			}
		}
	})
	t.Run("long ones are not kept", func(t *testing.T) {
		long := strings.Repeat("x", recentBytes)
		_, before, _ := read(t.Context(), "SELECT 1")
		for _, c := range [][]any{{"SELECT '" + long + "'"}, {"SELECT ?", long}, {"SELECT ?", []byte(long)}} {
			got, kept, err := read(t.Context(), c[0].(string), c[1:]...)
			if got != long || err != nil || kept != before {
				t.Errorf("%d bytes, %v, %d statements kept", len(got), err, kept)
			}
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Read(ctx, func(c *Conn) error {
			return r.Select(c, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", func(*Stmt) error {
				cancel()
				return nil
			})
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		for i := range 2 * recentStatements {
			if got, kept, err := read(t.Context(), fmt.Sprintf("SELECT %d", i)); got != fmt.Sprint(i) || err != nil || kept > most {
				t.Fatalf("afterwards: %q, %v, %d statements kept", got, err, kept)
			}
		}
	})
}

func TestRecent_AfterAChangeOfTheSchema(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	addPet(t, db, "cat")
	var r Recent
	for _, change := range []string{"", "ALTER TABLE pet ADD COLUMN colour TEXT"} {
		if change != "" {
			if err := db.Write(t.Context(), func(c *Conn) error { return Exec(c, change) }); err != nil {
				t.Fatal(err)
			}
		}
		columns := 0
		err := db.Read(t.Context(), func(c *Conn) error {
			return r.Select(c, "SELECT * FROM pet", func(s *Stmt) error { columns = s.ColumnCount(); return nil })
		})
		want := 2
		if change != "" {
			want = 3
		}
		if columns != want || err != nil {
			t.Errorf("%q: %d columns, %v", change, columns, err)
		}
	}
}

func TestAppendColumn(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	for _, size := range []int{-1, 0, 1, usualText - 1, usualText, usualText + 1, 5000} {
		for _, dst := range [][]byte{nil, []byte("before"), make([]byte, 0, usualText), make([]byte, 7, 4000)} {
			var value any // NULL
			want := string(dst)
			if size >= 0 {
				value = strings.Repeat("x", size)
				want += strings.Repeat("x", size)
			}
			err := db.Read(t.Context(), func(c *Conn) error {
				return Select(c, "SELECT ?", func(s *Stmt) error {
					if got := string(AppendColumn(dst, s, 0)); got != want {
						t.Errorf("%d bytes behind %d: got %d", size, len(dst), len(got))
					}
					return nil
				}, value)
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}
