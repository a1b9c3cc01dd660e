package chunks

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResult_AsTheOriginalWritesIt(t *testing.T) {
	r := Result{Chunks: 1, Took: 1257436 * time.Nanosecond}
	if got, want := string(r.JSON()), `{"updated_chunks": 1, "error_messages": [], "time_spent": 0.001257436}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r = Result{Errors: []string{`a "b"`, "c"}, String: "7"}
	if got, want := string(r.JSON()), `{"updated_chunks": 0, "error_messages": ["a \"b\"", "c"], "time_spent": 0, "string": "7"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got, err := ParseResult(r.JSON())
	if diff := cmp.Diff(r, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestParseResult_Refused(t *testing.T) {
	for _, text := range []string{``, `x`, `[]`, `{"updated_chunks": "1"}`, `{"error_messages": [1]}`, `{"x": "` + strings.Repeat("x", maxResult) + `"}`} {
		if r, err := ParseResult([]byte(text)); err == nil {
			t.Errorf("%.40s: %+v", text, r)
		}
	}
	many := `{"updated_chunks": 3, "error_messages": ["` + strings.Repeat(`","`, 5000) + `"]}`
	if r, err := ParseResult([]byte(many)); err != nil || len(r.Errors) != maxErrors {
		t.Errorf("%d messages, %v", len(r.Errors), err)
	}
}

func TestResult_Line(t *testing.T) {
	for _, c := range []struct {
		r    Result
		want string
		bad  bool
	}{
		{Result{Chunks: 2}, "Finished in 0.024s. Updated 2 chunks.", false},
		{Result{Chunks: 1, Errors: []string{"Error 2003 - x\n"}}, `Finished in 0.024s. Updated 1 chunks. There were 1 chunks with errors: ['Error 2003 - x\n']`, true},
		{Result{Errors: strings.Split("a b c d e f g", " ")}, `Finished in 0.024s. Updated 0 chunks. There were 7 chunks with errors: ['a', 'b', 'c', 'd', 'e', ...]`, true},
	} {
		if got, bad := c.r.Line(24 * time.Millisecond); got != c.want || bad != c.bad {
			t.Errorf("%q, %v, want %q, %v", got, bad, c.want, c.bad)
		}
	}
}

func TestResult_Bounded(t *testing.T) {
	var r Result
	for range maxErrors + 10 {
		r.failed(strings.Repeat("x", 10_000))
	}
	if len(r.Errors) != maxErrors || len(r.Errors[0]) != maxErrorText {
		t.Errorf("%d messages of %d bytes", len(r.Errors), len(r.Errors[0]))
	}
}
