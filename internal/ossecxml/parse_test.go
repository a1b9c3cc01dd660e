package ossecxml

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sketch writes an element as name[attributes]"text"(children), short enough
// for tables.
func sketch(elements []*Element) string {
	var parts []string
	for _, e := range elements {
		part := e.Name
		for _, a := range e.Attrs {
			part += fmt.Sprintf("[%s=%q]", a.Name, a.Value)
		}
		if e.Text != "" {
			part += fmt.Sprintf("%q", e.Text)
		}
		if len(e.Children) > 0 {
			part += "(" + sketch(e.Children) + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func TestParse_Accepted(t *testing.T) {
	tests := []struct{ name, document, want string }{
		{"nothing", "", ""},
		{"only text", "no roots & nothing < else\n", ""},
		{"several roots", "<one>1</one>\n<two>2</two>", `one"1" two"2"`},
		{"text is not trimmed", "<key> a\n b </key>", `key" a\n b "`},
		{"names in lower case", "<Cluster><NAME>w</NAME></Cluster>", `cluster(name"w")`},
		{"attributes keep their case", `<aa Name="X" other='y "z"'/>`, `aa[Name="X"][other="y \"z\""]`},
		{"blanks in tags", "<aa  x = \"1\"\ty='2' />", `aa[x="1"][y="2"]`},
		{"line break inside a value", "<aa x=\"1>\n2\">t</aa>", `aa[x="1> 2"]"t"`},
		{"empty elements", "<aa></aa><bb/><cc />", "aa bb cc"},
		{"text before the first child only", "<aa>one<bb>in</bb>two</aa>", `aa"one"(bb"in")`},
		{"comment joins the text around it", "<aa>one<!-- x -->two</aa>", `aa"onetwo"`},
		{"dashes in a comment", "<aa><!-- a -- b --- c --></aa><!------>", "aa"},
		{"markup in a comment", "<!-- <aa> & <bb -->", ""},
		{"shortest comment begins, does not end", "<!--> <aa> -->", ""},
		{"entities that are decoded", "<aa>&amp;&apos;&quot;&backslash;</aa>", `aa"&'\"\\"`},
		{"entities that stay", "<aa>&lt;b&gt;</aa>", `aa"&lt;b&gt;"`},
		{"escaped ampersand is decoded once", "<aa>&amp;lt;</aa>", `aa"&lt;"`},
		{"numbers are no entities", "<aa>&#65;&#x41;</aa>", `aa"&#65;&#x41;"`},
		{"unknown entity is text", "<aa>&nbsp; a & b &amp</aa>", `aa"&nbsp; a & b &amp"`},
		{"entities in attributes", `<aa x="&amp;&lt;a & b"/>`, `aa[x="&&lt;a & b"]`},
		{"stray less-than", "<aa>a < b <= c <\n</aa>", `aa"a < b <= c <\n"`},
		{"stray less-than in an attribute", `<aa x="a < b"/>`, `aa[x="a < b"]`},
		{"stray greater-than", "<aa>a > b</aa>", `aa"a > b"`},
		{"declaration and doctype are text", "<?xml version=\"1.0\"?>\n<!DOCTYPE q>\n<aa>x</aa>", `aa"x"`},
		{"tag name at the end of a line is text", "<aa>if <b\n</aa>", `aa"if <b\n"`},
		{"one-letter tag that ends its line is text", "<aa>if <b>\n</aa>", `aa"if <b>\n"`},
		{"one-letter tag amid a line", "<a>x</a> >", `a"x"`},
		{"Windows path before a closing tag", `<location>C:\logs\</location>`, `location"C:\\logs\\"`},
		{"escaped greater-than", `<aa>\></aa>`, `aa"\\>"`},
		{"carriage returns", "<aa>x\r\ny\rz</aa>\r\n", `aa"x\ny\nz"`},
		{"byte order mark", "\ufeff<aa>x</aa>", `aa"x"`},
		{"letters of the world", "<größe>ü</größe>", `größe"ü"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			roots, err := Parse(strings.NewReader(test.document), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, sketch(roots)); diff != "" {
				t.Errorf("tree of %q (-want +got):\n%s", test.document, diff)
			}
		})
	}
}

func TestParse_Refused(t *testing.T) {
	tests := []struct {
		name, document, want string
		line                 int
	}{
		{"element left open", "\n<aa>\n<bb>x</bb>\n", "element <aa> is never closed", 2},
		{"closing without opening", "<aa>x</aa>\n</bb >\n", "closing tag </bb> closes nothing", 2},
		{"closing another", "<aa>\n<bb>x</aa>\n</bb>", "closing tag </aa> does not fit <bb> of line 2", 2},
		{"case of names differs", "<Name>x</name>", "closing tag </name> does not fit <Name> of line 1", 1},
		{"start tag over two lines", "<aa\n x=\"1\">\n</aa>", "closing tag </aa> closes nothing", 3},
		{"comment left open", "<aa>x</aa>\n<!-- \n\n", "comment is never closed", 2},
		{"CDATA", "<aa><![CDATA[x]]></aa>", `"]]>" in a text (CDATA sections are not known here)`, 1},
		{"number as a name", "<5a>x</5a>", "'<' is not followed by a name", 1},
		{"attribute without value", "<aa x>y</aa>", "attribute x of <aa> has no value", 1},
		{"value without quotes", "<aa x=1>y</aa>", "value of attribute x is not in quotes", 1},
		{"value left open", "\n<aa x=\"1>y</bb", "value of attribute x is never closed", 2},
		{"attribute twice", `<aa x="1" x="2">y</aa>`, "tag <aa> has attribute x twice", 1},
		{"attributes without a blank", `<aa x="1"y="2">z</aa>`, "tag <aa> is not well-formed", 1},
		{"tag in a value", `<aa x="<bb>">y</aa>`, "value of attribute x holds a tag or comment", 1},
		{"escaped end of a tag", `<aa\>y</aa>`, "tag <aa> is not well-formed", 1},
		{"closing tag with more in it", "<aa>x</aa y>", "closing tag </aa has no '>'", 1},
		{"not UTF-8", "<aa>\n\xff</aa>", "byte 0xff is not UTF-8", 2},
		{"control character", "\n\n<aa>\x00</aa>", "character U+0000 is not allowed", 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(test.document), Limits{})
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("error of %q: got %v, want a *SyntaxError", test.document, err)
			}
			if syntax.Text != test.want || syntax.Line != test.line {
				t.Errorf("error of %q: got %q line %d, want %q line %d",
					test.document, syntax.Text, syntax.Line, test.want, test.line)
			}
		})
	}
}

func TestParse_Lines(t *testing.T) {
	document := "<!-- two\nlines -->\n<aa x=\"a>\nb\">\n  <bb/>\r\n  <cc>\n  </cc> <dd/>\n</aa>\n<ee/>"
	roots, err := Parse(strings.NewReader(document), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	var note func([]*Element)
	note = func(elements []*Element) {
		for _, e := range elements {
			got[e.Name] = e.Line
			note(e.Children)
		}
	}
	note(roots)
	want := map[string]int{"aa": 3, "bb": 5, "cc": 6, "dd": 7, "ee": 9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestParse_Limits(t *testing.T) {
	attributes := ""
	for i := range 5 {
		attributes += fmt.Sprintf(" x%d='1'", i)
	}
	tests := []struct {
		name, document string
		limits         Limits
	}{
		{"bytes", strings.Repeat("x", 101), Limits{Bytes: 100}},
		{"depth", strings.Repeat("<aa>", 5) + strings.Repeat("</aa>", 5), Limits{Depth: 4}},
		{"elements", strings.Repeat("<aa/>", 5), Limits{Elements: 4}},
		{"attributes", "<aa" + attributes + "/>", Limits{Attrs: 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Parse(strings.NewReader(test.document), Limits{}); err != nil {
				t.Fatalf("with the default limits: %v", err)
			}
			if _, err := Parse(strings.NewReader(test.document), test.limits); !errors.Is(err, ErrLimit) {
				t.Errorf("got %v, want ErrLimit", err)
			}
		})
	}
}

func TestParse_ReaderFails(t *testing.T) {
	broken := errors.New("broken disk")
	_, err := Parse(io.MultiReader(strings.NewReader("<aa>"), failing{broken}), Limits{})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's own error", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestElement_Lookups(t *testing.T) {
	roots, err := Parse(strings.NewReader(`<aa x="1"><bb>1</bb><bb>2</bb></aa>`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	aa := roots[0]
	if value, ok := aa.Attr("x"); value != "1" || !ok {
		t.Errorf("Attr(x) = %q, %v", value, ok)
	}
	if _, ok := aa.Attr("X"); ok {
		t.Error("Attr(X) found x")
	}
	if bb := aa.Child("bb"); bb == nil || bb.Text != "2" {
		t.Errorf("Child(bb) = %+v, want the last one", bb)
	}
	if aa.Child("cc") != nil {
		t.Error("Child(cc) found something")
	}
}

// One line without line breaks must not cost the square of its length.
func BenchmarkParse_StrayMarkup(b *testing.B) {
	document := strings.Repeat("<a <b & ", 1<<15)
	b.SetBytes(int64(len(document)))
	for b.Loop() {
		if _, err := Parse(strings.NewReader(document), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
