package ossecjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"testudo/internal/fault"
	"testudo/internal/ossecxml"
	"testudo/internal/result"
)

// TestMain_Sections has what a real node makes of each (measured), in the words
// of docs/nodefunctions.md §2.
func TestMain_Sections(t *testing.T) {
	tests := []struct{ name, conf, want string }{
		{"text", `<global><aa> pad </aa></global>`, `{"global":{"aa":" pad "}}`},
		{"empty option", `<global><aa></aa><bb/></global>`, `{"global":{}}`},
		{"attributes", `<global><aa x="1">t</aa></global>`, `{"global":{"aa":{"x":"1","item":"t"}}}`},
		{"attributes without text", `<global><aa x="1"/></global>`, `{"global":{"aa":{"x":"1","item":null}}}`},
		{"children", `<global><aa x="1">t<bb/><cc>2</cc></aa></global>`, `{"global":{"aa":{"x":"1","bb":null,"cc":"2"}}}`},
		{"last option counts", `<global><aa x="1">t</aa><aa>u</aa></global>`, `{"global":{"aa":"u"}}`},
		{"list", `<global><white_list x="1">a</white_list></global><global><white_list>b</white_list><zz>1</zz></global>`,
			`{"global":{"white_list":[{"x":"1","item":"a"},"b"],"zz":"1"}}`},
		{"attributes of the section", `<global attr="v">text<aa>1</aa></global>`, `{"global":{"aa":"1"}}`},
		{"empty section", `<global/><remote/>`, `{"global":{},"remote":[{}]}`},
		{"merged", `<auth><aa>1</aa></auth><auth><aa>2</aa><bb>x</bb></auth>`, `{"auth":{"aa":"2","bb":"x"}}`},
		{"repeated", `<command><name>a</name></command><command><name>a</name></command>`, `{"command":[{"name":"a"},{"name":"a"}]}`},
		{"last section counts", `<cluster><aa>1</aa></cluster><cluster><bb>2</bb></cluster>`, `{"cluster":{"bb":"2"}}`},
		{"nodes", `<cluster><nodes>x<node>1</node><node y="z">2</node><node/></nodes><nodes><node>3</node></nodes></cluster>`,
			`{"cluster":{"nodes":["1","2","3"]}}`},
		{"no nodes", `<cluster><nodes><node/></nodes></cluster>`, `{"cluster":{}}`},
		{"policies", `<sca><policies><policy enabled="no">a</policy></policies><policies><policy>b</policy></policies></sca>`,
			`{"sca":{"policies":["a","b"]}}`},
		{"protocols", `<remote><protocol>tcp, udp </protocol></remote><remote><protocol x="1">TCP</protocol></remote>`,
			`{"remote":[{"protocol":["tcp","udp"]},{"protocol":["TCP"]}]}`},
		{"directories", `<syscheck><directories check_all="yes"> /etc , /usr</directories><directories/></syscheck>`,
			`{"syscheck":{"directories":[{"check_all":"yes","path":"/etc"},{"check_all":"yes","path":"/usr"}]}}`},
		{"a directory called by an attribute", `<syscheck><directories path="zz">/a</directories></syscheck>`,
			`{"syscheck":{"directories":[{"path":"/a"}]}}`},
		{"whodata", `<syscheck><whodata x="1"><audit_key> a , b</audit_key><queue>1</queue></whodata><whodata/></syscheck>`,
			`{"syscheck":{"whodata":{"audit_key":[" a "," b"],"queue":"1"}}}`},
		{"the last synchronization", `<syscheck><synchronization><enabled>yes</enabled></synchronization>` +
			`<synchronization><interval>5m</interval></synchronization></syscheck>`, `{"syscheck":{"synchronization":{"interval":"5m"}}}`},
		{"labels", `<labels><label key="a">v</label><label key="b" hidden="yes"/><other key="c">1</other></labels>`,
			`{"labels":[{"label":[{"value":"v","key":"a"},{"value":null,"key":"b","hidden":"yes"}],"other":{"key":"c","item":"1"}}]}`},
		{"label whose value is an attribute", `<labels><label key="a" value="q">v</label></labels>`, `{"labels":[{"label":[{"value":"q","key":"a"}]}]}`},
		{"query of markup", `<localfile><query><QueryList><Query Id="0">*[(Level&lt;=3)]</Query> tail</QueryList></query></localfile>`,
			`{"localfile":[{"query":"<QueryList><Query Id=\"0\">*[(Level&lt;=3)]</Query> tail</QueryList>"}]}`},
		{"query of text", `<localfile><query>a &amp; b & c > d &gt; e < f &quot;</query></localfile>`,
			`{"localfile":[{"query":"a &amp; b &amp; c &gt; d &gt; e &lt; f \""}]}`},
		{"query elsewhere", `<global><query>x<sel>y</sel></query></global>`, `{"global":{"query":{"sel":"y"}}}`},
		{"modules", `<wodle name="open-scap"><content type="x" path="a"><profile>p</profile></content><content>z</content></wodle>` +
			`<wodle name="cis-cat" x="y"><content type="x"><profile>p</profile></content></wodle><wodle name="SYSCOLLECTOR"><aa>1</aa></wodle>`,
			`{"open-scap":{"content":[{"type":"x","path":"a","profiles":["p"]},"z"]},"cis-cat":{"content":[{"type":"x","profile":"p"}]}}`},
		{"a module and a section of one name", `<wodle name="command"><tag>a</tag></wodle><command><name>b</name></command>`,
			`{"command":[{"tag":"a"},{"name":"b"}]}`},
		{"providers", `<vulnerability-detector><enabled>yes</enabled><provider name="c"><os allow="x">5</os><os>6</os><path>a</path><path>b</path></provider>` +
			`<provider name="n"/></vulnerability-detector>`,
			`{"vulnerability-detector":{"enabled":"yes","provider":[{"name":"c","os":[{"allow":"x","item":"5"},"6"],"path":"b"},{"name":"n","item":null}]}}`},
		{"unknown sections", `<client_buffer><aa>1</aa></client_buffer><logging/><zzz><aa>1</aa></zzz>`, `{}`},
		{"case of names", `<GLOBAL><AA XX="Q">1</AA></GLOBAL>`, `{"global":{"aa":{"XX":"Q","item":"1"}}}`},
		{"comment in a text", `<global><aa>be<!-- c -->fore</aa></global>`, `{"global":{"aa":"before"}}`},
		{"entities", `<global><aa>x &amp; y &lt; z &quot;q&quot;</aa></global>`, `{"global":{"aa":"x & y &lt; z \"q\""}}`},
		// Where a real node gives error 1101 in the words of its interpreter, or
		// nests lists in lists.
		{"protocol without text", `<remote><protocol></protocol><port>1</port></remote>`, `{"remote":[{"port":"1"}]}`},
		{"protocol twice", `<remote><protocol>a</protocol><protocol>b,c</protocol></remote>`, `{"remote":[{"protocol":["a","b","c"]}]}`},
		{"query with attributes", `<localfile><query type="log">pred</query></localfile>`, `{"localfile":[{"query":"pred"}]}`},
		{"query without text", `<localfile><query/></localfile>`, `{"localfile":[{}]}`},
		{"query over two lines", "<localfile><query>\n<sel>x</sel>\n</query></localfile>", `{"localfile":[{"query":"\n<sel>x</sel>\n"}]}`},
		{"object in whodata", `<syscheck><whodata><provider x="y">no</provider></whodata></syscheck>`,
			`{"syscheck":{"whodata":{"provider":{"x":"y","item":"no"}}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Main(parse(t, "<ossec_config>"+test.conf+"</ossec_config>"))
			if err != nil {
				t.Fatal(err)
			}
			if got := compact(t, got); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.conf, got, test.want)
			}
		})
	}
}

func TestMain_Roots(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       `{}`,
		"text":                                   `{}`,
		"<global><aa>1</aa></global>":            `{}`,
		"<other><global/></other>":               `{}`,
		"<OSSEC_CONFIG><global/></OSSEC_CONFIG>": `{"global":{}}`,
		"<ossec_config><auth><aa>1</aa></auth></ossec_config><x/><ossec_config><auth><bb>1</bb></auth></ossec_config>": `{"auth":{"aa":"1","bb":"1"}}`,
	} {
		got, err := Main(parse(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if got := compact(t, got); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestAgent(t *testing.T) {
	items, err := Agent(parse(t, `<agent_config os="Linux" name="a"><syscheck><directories>/a</directories></syscheck></agent_config>`+
		`<agent_config><client_buffer/></agent_config><agent_config name="a" os="Linux"><syscheck><directories>/b</directories></syscheck></agent_config>`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"filters":{"os":"Linux","name":"a"},"config":{"syscheck":{"directories":[{"path":"/a"},{"path":"/b"}]}}},{"filters":{},"config":{}}]`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestMain_Refused(t *testing.T) {
	tests := map[string]string{
		"module without a name": `<wodle><aa>1</aa></wodle>`,
		"a million directories": `<syscheck><directories a="1" b="2" c="3" d="4">` + strings.Repeat(",", mostParts/4) + `</directories></syscheck>`,
		"a million protocols":   `<remote>` + strings.Repeat(`<protocol>`+strings.Repeat(",", 1000)+`</protocol>`, 1+mostParts/1000) + `</remote>`,
	}
	for name, conf := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Main(parse(t, "<ossec_config>"+conf+"</ossec_config>")); !fault.Has(err, fault.UnknownComponent) {
				t.Errorf("error %v, want 1101", err)
			}
		})
	}
}

func FuzzMain(f *testing.F) {
	for _, seed := range []string{
		`<ossec_config><syscheck><directories a="1">x,y</directories><whodata><aa>1,2</aa></whodata></syscheck></ossec_config>`,
		`<ossec_config><wodle name="labels"><label>x</label></wodle><cluster><nodes><node>1</node></nodes></cluster></ossec_config>`,
		`<agent_config os="x"><localfile><query>a<b>c</b></query></localfile></agent_config>`,
		`<ossec_config><vulnerability-detector><provider os="1"><os>2</os></provider></vulnerability-detector></ossec_config>`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		roots, err := ossecxml.Parse(strings.NewReader(text), ossecxml.Limits{})
		if err != nil {
			return
		}
		if o, err := Main(roots); err == nil && !json.Valid(o.JSON()) {
			t.Errorf("not JSON: %s", o.JSON())
		}
		items, err := Agent(roots)
		if err != nil {
			return
		}
		for _, item := range items {
			if !json.Valid(item) {
				t.Errorf("not JSON: %s", item)
			}
		}
	})
}

func parse(t *testing.T, text string) []*ossecxml.Element {
	t.Helper()
	roots, err := ossecxml.Parse(strings.NewReader(text), ossecxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// compact is an object without blanks between its parts.
func compact(t *testing.T, o result.Object) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, o.JSON()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
