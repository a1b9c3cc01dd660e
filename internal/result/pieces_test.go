package result

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// Of several values of one name the last counts, however many members there are.
func TestReadObject_NameTwice(t *testing.T) {
	for _, n := range []int{1, 2, fewMembers - 1, fewMembers, fewMembers + 1, 3 * fewMembers} {
		var text strings.Builder
		var want Object
		for _, value := range []string{"old", "new"} {
			for i := range n {
				fmt.Fprintf(&text, `, "m%d": "%s"`, i, value)
			}
		}
		for i := range n {
			want = append(want, Member{fmt.Sprint("m", i), []byte(`"new"`)})
		}
		got, err := ReadObject([]byte("{"+text.String()[2:]+"}"), Limits{})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%d members: %v (-want +got):\n%s", n, err, diff)
		}
	}
}
