package rulesetapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"testudo/internal/fault"
)

// Names never lead out of the folder that belongs to the cluster.
func TestWriting_NamesLeadNowhereElse(t *testing.T) {
	w := newWorld(t)
	outside := filepath.Join(w.dir, "etc", "target.xml")
	w.write("etc/target.xml", "untouched")
	for _, name := range []string{
		"../target.xml", "web/../../target.xml", "/etc/target.xml", "a/b.xml", "..", ".", "", ".xml", ".hidden.xml", "x.xml/", "x.txt",
		"x", "x.xml\x00", "\x00.xml", "x\n.xml", "x .xml", "..xml", `..\target.xml`, "%2e%2e.xml", "\u00fc.xml", strings.Repeat("x", 300) + ".xml",
		".local_rules.xml.ABCDEFGHIJKL.tmp~",
	} {
		args, err := json.Marshal(m{"filename": name, "content": newRule, "overwrite": true})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"rule.upload_rule_file", "decoder.upload_decoder_file"} {
			if r := w.list(f, string(args)); r.Total != 0 || len(r.Failed) != 1 {
				t.Errorf("%s %.40q: %s, failed %v", f, name, r.Items, failures(r))
			}
		}
		args, _ = json.Marshal(m{"filename": name})
		if r := w.list("rule.delete_rule_file", string(args)); r.Total != 0 || len(r.Failed) != 1 {
			t.Errorf("delete %.40q: %s, failed %v", name, r.Items, failures(r))
		}
	}
	for _, name := range []string{"../target", "../../etc/ossec.conf", "amazon/sources", "a.b", ".x", "", "a b", "audit-keys.cdb"} {
		for f, more := range map[string]m{
			"cdb_list.upload_list_file": {"content": "a:b", "overwrite": true}, "cdb_list.delete_list_file": {},
		} {
			more["filename"] = name
			args, _ := json.Marshal(more)
			if r := w.list(f, string(args)); r.Total != 0 || len(r.Failed) != 1 {
				t.Errorf("%s %q: %s, failed %v", f, name, r.Items, failures(r))
			}
		}
	}
	for _, dir := range []string{"..", "/", "etc", "etc/rules/", "etc/rules/..", "etc/rules/../rules", "etc/lists", "../etc/rules", strings.Repeat("x/", 5000)} {
		args, _ := json.Marshal(m{"filename": "target.xml", "content": newRule, "relative_dirname": dir, "overwrite": true})
		if r := w.list("rule.upload_rule_file", string(args)); r.Total != 0 || len(r.Failed) != 1 {
			t.Errorf("folder %.40q: %s, failed %v", dir, r.Items, failures(r))
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "untouched" {
		t.Errorf("a file outside was written: %q, %v", b, err)
	}
}

// Folders and files that are links out of the home are not followed, and what
// is no file is not opened.
func TestRuleset_LinksLeadNowhereElse(t *testing.T) {
	w := newWorld(t)
	away := t.TempDir()
	if err := os.WriteFile(filepath.Join(away, "away_rules.xml"), []byte(newRule), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(to, name string) {
		t.Helper()
		at := filepath.Join(w.dir, name)
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	link(away, "etc/rules/web")
	link(filepath.Join(away, "away_rules.xml"), "etc/rules/linked_rules.xml")
	link("../../ruleset/rules/0215-policy_rules.xml", "etc/rules/inside_rules.xml")
	if err := syscall.Mkfifo(filepath.Join(w.dir, "etc/rules/pipe_rules.xml"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.list("rule.get_rules", `{}`)
	got := failures(r)
	if r.Total != 5 || len(got) != 2 || got["etc/rules/linked_rules.xml"] != fault.RuleParse || got["etc/rules/pipe_rules.xml"] != fault.RuleParse {
		t.Errorf("%d rules, failed %v; want 5, and the link out and the pipe failed", r.Total, got)
	}
	w.play([]step{
		{"rule.upload_rule_file", m{"filename": "x.xml", "content": newRule, "relative_dirname": "etc/rules/web"}, "etc/rules/web/x.xml", fault.RuleFolderAbsent},
		{"rule.delete_rule_file", m{"filename": "away_rules.xml", "relative_dirname": "etc/rules/web"}, "etc/rules/web/away_rules.xml", fault.RuleFolderAbsent},
		{"rule.upload_rule_file", m{"filename": "linked_rules.xml", "content": newRule + "\n", "overwrite": true}, "etc/rules/linked_rules.xml", 0},
		{"rule.delete_rule_file", m{"filename": "inside_rules.xml"}, "etc/rules/inside_rules.xml", 0},
	})
	if b, err := os.ReadFile(filepath.Join(away, "away_rules.xml")); err != nil || string(b) != newRule {
		t.Errorf("a file outside was written through a link: %q, %v", b, err)
	}
	if _, gone := w.read("ruleset/rules/0215-policy_rules.xml"); gone {
		t.Error("a file was deleted through a link")
	}
}

// Hostile documents are refused with their line, or are what they look like.
func TestUpload_HostileXML(t *testing.T) {
	w := newWorld(t)
	w.api = New(Config{Home: w.api.cfg.Home, FileBytes: 2 << 20})
	const path = "etc/rules/x.xml"
	bomb := "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>\n<aa>&b;&b;</aa>"
	for name, test := range map[string]struct {
		content string
		want    fault.Code
	}{
		"depth":         {strings.Repeat("<aa>", 100_000) + strings.Repeat("</aa>", 100_000), fault.InvalidXML},
		"elements":      {strings.Repeat("<aa/>", 300_000), fault.InvalidXML},
		"size":          {"<aa>" + strings.Repeat("x", 2<<20) + "</aa>", fault.InvalidFileType},
		"attributes":    {"<aa " + strings.Repeat("x ", 100_000) + "/>", fault.InvalidXML},
		"control signs": {"<aa>\x00</aa>", fault.InvalidXML},
		"never closed":  {"<aa><!-- </aa>", fault.InvalidXML},
		"entities":      {bomb, 0},
		"outer file":    {"<!DOCTYPE x SYSTEM \"file:///etc/passwd\">\n<aa>&x;</aa>", 0},
	} {
		w.play([]step{{"rule.upload_rule_file", m{"filename": "x.xml", "content": test.content, "overwrite": true}, path, test.want}})
		if test.want == 0 {
			r := w.list("rule.get_rule_file", `{"filename": "x.xml"}`)
			if got := string(r.Items[0]); got != `{"aa": "&b;&b;"}` && got != `{"aa": "&x;"}` {
				t.Errorf("%s is read as %.200s", name, got)
			}
		}
	}
}

// What the disk holds is bounded, too.
func TestRuleset_Bounds(t *testing.T) {
	w := newWorld(t)
	w.api = New(Config{Home: w.api.cfg.Home, FileBytes: 2000, KeptBytes: 3000, Files: 6})
	w.write("etc/rules/large_rules.xml", "<aa>"+strings.Repeat("x", 2000)+"</aa>")
	got := failures(w.list("rule.get_rules", `{}`))
	if got["etc/rules/large_rules.xml"] != fault.RuleParse {
		t.Errorf("a file above FileBytes: %v", got)
	}
	if r := w.list("rule.get_rule_file", `{"filename": "large_rules.xml", "raw": true}`); failures(r)["large_rules.xml"] != fault.RuleParse {
		t.Errorf("the same read as a whole: %v", failures(r))
	}
	if err := os.Remove(filepath.Join(w.dir, "etc/rules/large_rules.xml")); err != nil {
		t.Fatal(err)
	}
	many := strings.Repeat(" ", 1900)
	w.write("etc/rules/v_rules.xml", newRule+many[:1800])
	w.write("etc/rules/w_rules.xml", newRule+many[:1800])
	if got := failures(w.list("rule.get_rules", `{}`)); got["etc/rules/w_rules.xml"] != fault.RuleParse || len(got) > 3 {
		t.Errorf("files above KeptBytes: %v", got)
	}
	for _, c := range "abcdefgh" {
		w.write("etc/rules/"+string(c)+".xml", "<aa/>")
	}
	if r := w.list("rule.get_rules_files", `{}`); r.Total != 6 {
		t.Errorf("%d files, want 6", r.Total)
	}
	w.play([]step{{"rule.upload_rule_file", m{"filename": "x.xml", "content": "<aa>" + many + many + "</aa>"}, "etc/rules/x.xml", fault.InvalidFileType}})
}
