package rulesetapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
)

func sameJSON(t *testing.T, what, want, got string) {
	t.Helper()
	var w, g any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: wanted %s: %v", what, want, err)
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: got %s: %v", what, got, err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Groups of requirements stand apart, attributes and elements are details,
// elements of one pattern are joined, others become a list.
func TestGetRules_Item(t *testing.T) {
	r := newWorld(t).list("rule.get_rules", `{"rule_ids": [2]}`)
	sameJSON(t, "rule 2", `{"filename": "0010-base_rules.xml", "relative_dirname": "ruleset/rules", "id": 2, "level": 5, "status": "enabled",
		"details": {"if_sid": "1", "match": {"pattern": "core_dumped|failure"}, "regex": {"pattern": "^ab$", "type": "pcre2"},
			"win.system.eventID": {"pattern": "^4625$", "negate": "yes"},
			"list": {"name": "etc/lists/audit-keys", "field": "audit.key", "lookup": "match_key_value"},
			"info": [{"name": "http://example.com", "type": "link"}, {"name": "more", "type": "text"}],
			"options": ["no_full_log", "alert_by_email"]},
		"pci_dss": ["10.2.4"], "gpg13": [], "gdpr": ["IV_32.2"], "hipaa": [], "nist_800_53": [], "tsc": ["CC6.8"], "mitre": ["T1078", "T1021"],
		"groups": ["failed", "syslog", "base"], "description": "Bad words."}`, string(r.Items[0]))
}

func TestGetDecoders_Item(t *testing.T) {
	r := newWorld(t).list("decoder.get_decoders", `{"names": ["aa-child"]}`)
	sameJSON(t, "decoder", `{"filename": "0005-a_decoders.xml", "relative_dirname": "ruleset/decoders", "status": "enabled",
		"name": "aa-child", "position": 1, "details": {"parent": "aa",
			"regex": {"pattern": "(\\d) (\\w)", "offset": "after_parent"}, "order": "id, user"}}`, string(r.Items[0]))
}

func TestGetRules_Filters(t *testing.T) {
	w := newWorld(t)
	for args, want := range map[string][]any{
		`{}`:                                                       {1., 2., 5., 100001., 100100.},
		`{"level": "5-9"}`:                                         {2., 5.},
		`{"level": 5}`:                                             {2.},
		`{"level": "12"}`:                                          {100001.},
		`{"status": "enabled"}`:                                    {1., 2., 100001., 100100.},
		`{"status": "disabled"}`:                                   {5.},
		`{"rule_ids": [], "filename": []}`:                         {1., 2., 5., 100001., 100100.},
		`{"status": "all", "limit": 1}`:                            {1.},
		`{"group": "base"}`:                                        {1., 2.},
		`{"group": "pci_dss_10.2.4"}`:                              nil,
		`{"pci_dss": "10.2.4"}`:                                    {2.},
		`{"gdpr": "IV_32.2", "tsc": "none"}`:                       nil,
		`{"mitre": "T1021"}`:                                       {2.},
		`{"relative_dirname": "etc/rules"}`:                        {100001.},
		`{"filename": "local_rules.xml"}`:                          {100001.},
		`{"filename": ["local_rules.xml", "no"]}`:                  {100001.},
		`{"filename": ["no"], "select": ["x"]}`:                    nil,
		`{"sort_by": ["id"], "sort_ascending": false, "limit": 2}`: {100100., 100001.},
		`{"sort_by": ["level"], "offset": 1, "limit": 2}`:          {100100., 2.},
		`{"search_text": "WORDS"}`:                                 {2.},
		`{"search_text": "e", "complementary_search": true}`:       nil,
		`{"q": "id>5;level<4"}`:                                    {100100.},
		`{"q": "details.if_sid=2"}`:                                {100001.},
		`{"select": ["level"]}`:                                    {1., 2., 5., 100001., 100100.}, // the id comes along
	} {
		if diff := cmp.Diff(want, column(t, w.list("rule.get_rules", args), "id")); diff != "" {
			t.Errorf("rules of %s (-want +got):\n%s", args, diff)
		}
	}
}

func TestGetDecoders_Filters(t *testing.T) {
	w := newWorld(t)
	for args, want := range map[string][]any{
		`{}`:                                {"aa", "aa-child", "mine"},
		`{"parents": true}`:                 {"aa", "mine"},
		`{"names": ["mine", "aa"]}`:         {"aa", "mine"},
		`{"filename": "local_decoder.xml"}`: {"mine"},
		`{"relative_dirname": "ruleset/decoders", "sort_by": ["name"], "sort_ascending": false}`: {"aa-child", "aa"},
	} {
		if diff := cmp.Diff(want, column(t, w.list("decoder.get_decoders", args), "name")); diff != "" {
			t.Errorf("decoders of %s (-want +got):\n%s", args, diff)
		}
	}
}

func TestValues_Sorted(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct{ function, args, want string }{
		{"rule.get_groups", `{}`, `["base", "failed", "local", "policy", "syslog", "web"]`},
		{"rule.get_groups", `{"sort_by": [""], "sort_ascending": false, "limit": 2}`, `["web", "syslog"]`},
		{"rule.get_groups", `{"search_text": "l", "offset": 1}`, `["local", "policy", "syslog"]`},
		{"rule.get_requirement", `{"requirement": "mitre"}`, `["T1021", "T1078"]`},
		{"rule.get_requirement", `{"requirement": "nist-800-53"}`, `[]`},
	} {
		b, err := json.Marshal(append([]json.RawMessage{}, w.list(test.function, test.args).Items...))
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, test.function+test.args, test.want, string(b))
	}
}

func TestFunctions_Errors(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		function, args string
		want           fault.Code
	}{
		{"rule.get_rules", `{"level": "2-4-5"}`, fault.BadLevel},
		{"rule.get_rules", `{"level": "high"}`, fault.BadLevel},
		{"rule.get_rules", `{"status": "on"}`, fault.BadStatus},
		{"rule.get_rules", `{"select": ["noexists"]}`, fault.BadSelect},
		{"rule.get_rules", `{"sort_by": ["groups"]}`, fault.BadSortField},
		{"rule.get_rules", `{"limit": 0}`, fault.LimitZero},
		{"rule.get_groups", `{"sort_by": ["id"]}`, fault.BadSortField},
		{"rule.get_rules_files", `{"q": "filename%=invalid"}`, fault.BadQuery},
		{"rule.get_rules_files", `{"status": "on"}`, fault.BadStatus},
		{"decoder.get_decoders", `{"sort_by": ["wrong"]}`, fault.BadSortField},
		{"decoder.get_decoders_files", `{"select": ["noexists"]}`, fault.BadSelect},
		{"cdb_list.get_lists", `{"select": ["key"]}`, fault.BadSelect},
		{"rule.get_rules", `{"no": 1}`, fault.Unspecified},
		{"rule.get_rule_file", `{}`, fault.Unspecified},
		{"cdb_list.get_list_file", `{"filename": ["a", "b"]}`, fault.Unspecified},
		{"rule.get_rules", `{"rule_ids": ["x"]}`, fault.Unspecified},
	} {
		if _, err := w.ask(test.function, test.args); codeOf(err) != test.want {
			t.Errorf("%s %s: got %v, want %d", test.function, test.args, err, test.want)
		}
	}
}

func TestFunctions_FailedItems(t *testing.T) {
	w := newWorld(t)
	w.write("etc/rules/broken_rules.xml", "<group name=\"x\">\n<rule id=\"7\" level=\"XXX\">\n</rule></group>")
	w.write("etc/decoders/broken.xml", "<decoder name=\"x\">\n")
	for _, test := range []struct {
		function, args string
		want           map[string]fault.Code
	}{
		{"rule.get_rules", `{"rule_ids": [2, 77]}`, map[string]fault.Code{"77": fault.RuleAbsent, "etc/rules/broken_rules.xml": fault.RuleParse}},
		{"rule.get_rules", `{"filename": ["local_rules.xml"]}`, map[string]fault.Code{}},
		{"rule.get_groups", `{}`, map[string]fault.Code{"etc/rules/broken_rules.xml": fault.RuleParse}},
		{"decoder.get_decoders", `{"names": ["aa", "no", "no"], "status": "disabled"}`, map[string]fault.Code{"no": fault.DecoderAbsent}},
		{"decoder.get_decoder_file", `{"filename": "broken.xml"}`, map[string]fault.Code{"broken.xml": fault.DecoderParse}},
		{"decoder.get_decoder_file", `{"filename": "0005-a_decoders.xml", "relative_dirname": "etc/decoders"}`,
			map[string]fault.Code{"0005-a_decoders.xml": fault.DecoderFile}},
		{"cdb_list.get_list_file", `{"filename": "amazon"}`, map[string]fault.Code{"amazon": fault.ListIsFolder}},
		{"cdb_list.get_list_file", `{"filename": "../ossec.conf"}`, map[string]fault.Code{"../ossec.conf": fault.ListAbsent}},
		{"rule.get_rule_file", `{"filename": "../ossec.conf"}`, map[string]fault.Code{"../ossec.conf": fault.RuleFile}},
		{"rule.get_rule_file", `{"filename": "local_rules.xml", "relative_dirname": "etc/../etc/rules"}`,
			map[string]fault.Code{"local_rules.xml": fault.RuleFile}},
	} {
		if diff := cmp.Diff(test.want, failures(w.list(test.function, test.args))); diff != "" {
			t.Errorf("failed items of %s %s (-want +got):\n%s", test.function, test.args, diff)
		}
	}
	r := w.list("rule.get_rules", `{}`)
	if r.Total != 5 {
		t.Errorf("%d rules beside the broken file, want 5", r.Total)
	}
	want := `etc/rules/broken_rules.xml: attribute level of <rule> is "XXX", no number: line 2`
	if got := r.Failed[0].Err.Extra; got != want {
		t.Errorf("reason of the broken file: %q, want %q", got, want)
	}
}

func TestRuleset_NoSection(t *testing.T) {
	w := newWorld(t)
	w.write("etc/ossec.conf", "<ossec_config></ossec_config>")
	for _, f := range []string{"rule.get_rules", "decoder.get_decoders_files"} {
		if _, err := w.ask(f, `{}`); codeOf(err) != fault.SectionAbsent {
			t.Errorf("%s: %v, want error 1106", f, err)
		}
	}
	if r := w.list("cdb_list.get_path_lists", `{}`); r.Total != 2 {
		t.Errorf("%d lists, want 2: they need no section", r.Total)
	}
	w.write("etc/ossec.conf", "<ossec_config>")
	if _, err := w.ask("rule.get_rules", `{}`); codeOf(err) != fault.UnknownComponent {
		t.Errorf("a broken ossec.conf: %v, want error 1101", err)
	}
}

func TestRules_PlacesOfConfiguration(t *testing.T) {
	w := newWorld(t)
	w.write("single/extra_rules.xml", `<group name="x"><rule id="900000" level="1"/></group>`)
	w.write("etc/ossec.conf", `<ossec_config><ruleset><rule_dir>etc/rules</rule_dir><rule_dir>../outside</rule_dir><rule_dir>/tmp</rule_dir>
		<rule_dir>etc/rules/</rule_dir></ruleset></ossec_config>
		<ossec_config><ruleset><rule_include>single/extra_rules.xml</rule_include><rule_include>single/none.xml</rule_include>
		<rule_exclude>etc/rules/local_rules.xml</rule_exclude></ruleset></ossec_config>`)
	r := w.list("rule.get_rules_files", `{}`)
	if diff := cmp.Diff([]any{"extra_rules.xml", "local_rules.xml"}, column(t, r, "filename")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{"enabled", "disabled"}, column(t, r, "status")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestDocument(t *testing.T) {
	for text, want := range map[string]string{
		`<aa/>`:                           `{"aa": null}`,
		`<aa> x </aa>`:                    `{"aa": "x"}`,
		`<aa k="v"> x </aa>`:              `{"aa": {"@k": "v", "#text": "x"}}`,
		`<aa><bb>1</bb><cc/><bb/></aa>`:   `{"aa": {"bb": ["1", null], "cc": null}}`,
		`<aa>one</aa> <bb/> <aa>two</aa>`: `{"aa": ["one", "two"], "bb": null}`,
		"<aa>\u00fc \U0001f422\"\\</aa>":  `{"aa": "\u00fc \ud83d\udc22\"\\"}`,
		`text`:                            `{}`,
	} {
		roots, err := parseXML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, text, want, string(document(roots)))
	}
}
