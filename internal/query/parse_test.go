package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"testudo/internal/fault"
)

// written writes a parsed query with all its parentheses.
func written(n Node) string {
	if n.Clause != nil {
		return fmt.Sprintf("%s %s %q", n.Clause.Field, n.Clause.Op, n.Clause.Value)
	}
	word := " and "
	if n.Or {
		word = " or "
	}
	parts := make([]string, len(n.Parts))
	for i, p := range n.Parts {
		parts[i] = written(p)
	}
	return "(" + strings.Join(parts, word) + ")"
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"id=001":                      `id = "001"`,
		"id!=001;name~web":            `(id != "001" and name ~ "web")`,
		"a=1,b=2;c=3":                 `(a = "1" or (b = "2" and c = "3"))`,
		"(a=1,b=2);c=3":               `((a = "1" or b = "2") and c = "3")`,
		"id!=1;(s=on;(g=x,g=y))":      `(id != "1" and (s = "on" and (g = "x" or g = "y")))`,
		"((a=1))":                     `a = "1"`,
		"os.version>4.5":              `os.version > "4.5"`,
		"dateAdd>2021-07-03 00:00:00": `dateAdd > "2021-07-03 00:00:00"`,
		"name=a(b)c":                  `name = "a(b)c"`,
		"(name=a(b)c)":                `name = "a(b)c"`,
		"list=[a,b];x=1":              `(list = "[a,b]" and x = "1")`,
		"path~C:\\a/b 'x' \"y\" 50%":  `path ~ "C:\\a/b 'x' \"y\" 50%"`,
		"name=Ω":                      `name = "Ω"`,
		"mail=me@here":                `mail = "me@here"`,
	} {
		n, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := written(n); got != want {
			t.Errorf("%s\nis  %s\nnot %s", text, got, want)
		}
	}
}

func TestParse_Wrong(t *testing.T) {
	for text, want := range map[string]fault.Code{
		"zzz": fault.BadQuery, "": fault.BadQuery, "=": fault.BadQuery, "a=": fault.BadQuery, "=b": fault.BadQuery,
		"a=1;": fault.BadQuery, ";a=1": fault.BadQuery, "a=1,,b=2": fault.BadQuery, "(a=1": fault.BadQuery, "a=1)x": fault.BadQuery,
		"name%=x": fault.BadQuery, "a=1&b=2": fault.BadQuery, "a=*": fault.BadQuery, "a=\x00": fault.BadQuery, "a=\xff": fault.BadQuery,
		"a==1": fault.BadOperator, "a>=1": fault.BadOperator, "a!1": fault.BadOperator, "a<>1": fault.BadOperator,
		strings.Repeat("(", maxDepth+1) + "a=1" + strings.Repeat(")", maxDepth+1): fault.BadQuery,
		strings.Repeat("a=1;", maxClauses) + "a=1":                                fault.BadQuery,
		"a=" + strings.Repeat("x", maxQuery):                                      fault.BadQuery,
	} {
		if _, err := Parse(text); !errors.Is(err, fault.New(want, nil)) {
			t.Errorf("%.60q: %v, want error %d", text, err, want)
		}
	}
}

// Whatever is parsed is bounded and reads the same when it is written and parsed
// again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"a=1", "a=1;b!=2,(c<3;d>4)", "a=[x,y]", "a=f(x)", "((a=1),b~2)", "a==b", "zzz"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			if !errors.Is(err, fault.New(fault.BadQuery, nil)) && !errors.Is(err, fault.New(fault.BadOperator, nil)) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(source(n))
		if err != nil || written(again) != written(n) {
			t.Fatalf("%q is %s, written again %q it is %s (%v)", text, written(n), source(n), written(again), err)
		}
		w := animals.Where()
		if err := w.Q(text); err == nil && strings.Count(w.String(), "?") != len(w.Args()) {
			t.Fatalf("%q: %s with %d values", text, w.String(), len(w.Args()))
		}
	})
}

// source writes a query in its language.
func source(n Node) string {
	if n.Clause != nil {
		return n.Clause.Field + string(n.Clause.Op) + n.Clause.Value
	}
	sign := ";"
	if n.Or {
		sign = ","
	}
	parts := make([]string, len(n.Parts))
	for i, p := range n.Parts {
		if parts[i] = source(p); p.Clause == nil {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, sign)
}
