package result

import (
	"bytes"
	"strings"
	"testing"

	"testudo/internal/fault"
)

// Pieces are JSON, and nothing long in them is copied.
func TestOutcome_Pieces(t *testing.T) {
	long := `"` + strings.Repeat("x", inOnePiece) + `"`
	list := func(items ...string) *Affected {
		a := &Affected{AllMsg: "all", Extra: Object{{"more", []byte("1")}}}
		for _, item := range items {
			a.Items = append(a.Items, []byte(item))
		}
		a.Fail(fault.New(fault.UnknownAgent, nil), TextID("007"))
		return a
	}
	for name, c := range map[string]struct {
		outcome Outcome
		pieces  int
	}{
		"error":          {Outcome{Err: fault.New(fault.UnknownAgent, nil)}, 1},
		"neither":        {Outcome{}, 1},
		"no items":       {Outcome{Result: list()}, 1},
		"short list":     {Outcome{Result: list("1", "2")}, 1},
		"one long item":  {Outcome{Result: list(long)}, 3},
		"long list":      {Outcome{Result: list("1", long, `{"a": 3}`)}, 7},
		"object":         {Outcome{Result: &Plain{Body: []byte(`{"a": 1}`)}}, 1},
		"without object": {Outcome{Result: &Plain{}}, 1},
		"long object":    {Outcome{Result: &Plain{StrPriority: []string{"KO", "OK"}, Body: []byte(`{"a": ` + long + `}`)}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			pieces := c.outcome.Pieces()
			if got, want := bytes.Join(pieces, nil), c.outcome.JSON(); !bytes.Equal(got, want) {
				t.Errorf("got  %.300q\nwant %.300q", got, want)
			}
			if len(pieces) != c.pieces {
				t.Errorf("%d pieces, want %d", len(pieces), c.pieces)
			}
		})
	}
}
