package agentapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// foreign is a database whose answers have a limit.
type foreign struct {
	*agentdb.Store
	most  int // bytes of an answer
	asked int
	fails error
	says  string // instead of rows
}

func (f *foreign) SQL(ctx context.Context, statement string) ([]byte, error) {
	f.asked++
	if f.fails != nil || f.says != "" {
		return []byte(f.says), f.fails
	}
	p, err := f.Store.SQL(ctx, statement, false)
	if err == nil && len(p.JSON) > f.most {
		return nil, fault.New(fault.DatabaseTooLarge, nil)
	}
	return p.JSON, err
}

func run(t *testing.T, a *API, name, args string) (result.Result, error) {
	t.Helper()
	list := a.Functions()
	i := slices.IndexFunc(list, func(f dapi.Function) bool { return f.Name == name })
	return list[i].Run(t.Context(), &dapi.Call{Permissions: rbac.All()}, json.RawMessage(args))
}

// Answers that do not hold all rows are asked for in smaller pieces, and what is
// made of them is the same.
func TestExternal_InPieces(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	own := New(Config{Home: w.root, Database: Embedded{w.store}})
	db := &foreign{Store: w.store, most: 1000}
	other := New(Config{Home: w.root, Database: External{db}})
	for _, c := range []struct{ function, args string }{
		{"get_agents", `{}`},
		{"get_agents", `{"sort": {"fields": ["name"], "order": "desc"}, "search": {"value": "agent", "negation": false}}`},
		{"get_distinct_agents", `{"fields": ["node_name"]}`},
		{"get_full_overview", `{}`},
		{"get_agents_keys", `{}`},
	} {
		want, err := run(t, own, c.function, c.args)
		must(t, err)
		before := db.asked
		got, err := run(t, other, c.function, c.args)
		must(t, err)
		if g, w := string(result.Outcome{Result: got}.JSON()), string(result.Outcome{Result: want}.JSON()); g != w {
			t.Errorf("%s %s\ngives %s\nwant  %s", c.function, c.args, g, w)
		}
		if c.function == "get_agents" && db.asked-before < 4 {
			t.Errorf("%s %s: asked only %d times", c.function, c.args, db.asked-before)
		}
	}
}

func TestExternal_Errors(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	away := fault.New(fault.DatabaseUnreachable, "queue/db/wdb")
	for name, c := range map[string]struct {
		db   foreign
		args string
		want fault.Code
	}{
		"away":                  {foreign{fails: away}, `{}`, fault.DatabaseUnreachable},
		"no rows in the answer": {foreign{says: "nonsense"}, `{}`, fault.DatabaseRead},
		"a row that never fits": {foreign{most: 10}, `{}`, fault.DatabaseTooLarge},
		"too long a question":   {foreign{most: 1 << 20}, `{"search": {"value": "` + strings.Repeat("x", longestStatement) + `", "negation": false}}`, fault.DatabaseRefused},
	} {
		c.db.Store = w.store
		_, err := run(t, New(Config{Home: w.root, Database: External{&c.db}}), "get_agents", c.args)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != c.want {
			t.Errorf("%s: %v, want error %d", name, err, c.want)
		}
	}
}

// What users send cannot end the text that it stands in.
func TestWritten(t *testing.T) {
	store := newChangeWorld(t, "m3", everybody).store
	for _, value := range []string{"", "a", "it's", "''", "a\x00b", "\x00", "?", `\`, "ü'--", "'||char(0)||'"} {
		text, err := written(query.Statement{SQL: "SELECT '?' || ? || '?'", Args: []any{value}})
		must(t, err)
		p, err := store.SQL(t.Context(), "WITH q(c) AS ("+text+") SELECT hex(c) AS h FROM q", false)
		must(t, err)
		if want := fmt.Sprintf(`[{"h":"%X"}]`, "?"+value+"?"); string(p.JSON) != want {
			t.Errorf("%q: %s gives %s, want %s", value, text, p.JSON, want)
		}
	}
	if text, err := written(query.Statement{SQL: "a ? b ?", Args: []any{int64(-7), int64(8)}}); text != "a -7 b 8" || err != nil {
		t.Errorf("numbers: %q, %v", text, err)
	}
	for _, s := range []query.Statement{{SQL: "?"}, {SQL: "x", Args: []any{"a"}}, {SQL: "?", Args: []any{1.5}}} {
		if text, err := written(s); err == nil {
			t.Errorf("%v: %q", s, text)
		}
	}
}

func TestForeignRow(t *testing.T) {
	row := foreignRow{names: []string{"c0"}}
	for raw, want := range map[string]struct {
		null   bool
		number int64
		text   string
	}{
		``: {true, 0, ""}, `null`: {true, 0, ""}, `""`: {false, 0, ""}, `7`: {false, 7, "7"}, `5.0`: {false, 5, "5.0"},
		`"12"`: {false, 12, "12"}, `"a\u00e9"`: {false, 0, "aé"}, `1e300`: {false, 0, "1e300"}, `-1`: {false, -1, "-1"},
	} {
		row.values = map[string]json.RawMessage{}
		if raw != "" {
			row.values["c0"] = json.RawMessage(raw)
		}
		if null, number, text := row.Null(0), row.Int64(0), string(row.AppendText(nil, 0)); null != want.null || number != want.number || text != want.text {
			t.Errorf("%s: %t %d %q", raw, null, number, text)
		}
	}
}
