package ossecxml

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// render writes elements so that Parse gives them back; ok is false when a text
// holds what the dialect has no escape for.
func render(b *strings.Builder, elements []*Element) (ok bool) {
	for _, e := range elements {
		if !renderable(e) {
			return false
		}
		b.WriteString("<" + e.Name)
		for _, a := range e.Attrs {
			b.WriteString(" " + a.Name + `="` + escape(a.Value) + `"`)
		}
		b.WriteString(" >" + escape(e.Text))
		if !render(b, e.Children) {
			return false
		}
		b.WriteString("</" + e.Name + " >")
	}
	return true
}

// A '<' has no escape. Nor does "]]>" have one, a one-letter tag that could end
// its line is written with the blank that makes it a tag, and a letter whose
// lower case is none that a name may hold is a curiosity of Unicode.
func renderable(e *Element) bool {
	bad := func(s string) bool { return strings.Contains(s, "<") || strings.Contains(s, "]]>") }
	for _, a := range e.Attrs {
		if bad(a.Value) {
			return false
		}
	}
	src := source{text: e.Name}
	return !bad(e.Text) && src.name() == e.Name && isWord([]rune(e.Name)[0])
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;").Replace(s)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"<ossec_config>\n  <cluster>\n    <name>wazuh</name>\n    <nodes><node>192.0.2.1</node></nodes>\n  </cluster>\n</ossec_config>\n",
		"<?xml version=\"1.0\"?><aa x='1' y=\"a<b\">&amp;&lt;</aa><!-- a -- b -->",
		"<aa>]]</aa>", "<a>x</a> >", "\\<aa\\>", "<Aa/>", "<aa>\r\n</aa>", "<:a/>", "<aa><bb>", "<!--", "</aa>",
	} {
		f.Add(seed)
	}
	limits := Limits{Bytes: 1 << 16, Depth: 20, Elements: 500}
	f.Fuzz(func(t *testing.T, document string) {
		roots, err := Parse(strings.NewReader(document), limits)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("error %v is no *SyntaxError", err)
			}
			if last := 1 + strings.Count(strings.ReplaceAll(document, "\r", "\n"), "\n"); syntax.Line < 1 || syntax.Line > last {
				t.Fatalf("line %d of %d", syntax.Line, last)
			}
			return
		}
		var b strings.Builder
		if !render(&b, roots) {
			return
		}
		again, err := Parse(strings.NewReader(b.String()), Limits{})
		if err != nil {
			t.Fatalf("own rendering %q: %v", b.String(), err)
		}
		if diff := cmp.Diff(roots, again, cmpopts.IgnoreFields(Element{}, "Line", "Inner"), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("rendering %q reads differently (-first +second):\n%s", b.String(), diff)
		}
	})
}
