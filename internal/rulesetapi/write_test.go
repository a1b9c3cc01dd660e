package rulesetapi

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
	"testudo/internal/result"
)

// step is a request of a story and what it leads to: the path as affected item,
// or the code of its failed item.
type step struct {
	function string
	args     map[string]any
	path     string
	failed   fault.Code
}

func (w *world) play(steps []step) {
	w.t.Helper()
	for i, s := range steps {
		args, err := json.Marshal(s.args)
		if err != nil {
			w.t.Fatal(err)
		}
		r := w.list(s.function, string(args))
		if s.failed != 0 {
			if diff := cmp.Diff(map[string]fault.Code{s.path: s.failed}, failures(r)); diff != "" || r.Total != 0 {
				w.t.Errorf("step %d, %s %.100s: %d items, failed (-want +got):\n%s", i, s.function, args, r.Total, diff)
			}
			continue
		}
		if len(r.Items) != 1 || string(r.Items[0]) != `"`+s.path+`"` || len(r.Failed) > 0 {
			w.t.Errorf("step %d, %s %.100s: %s, failed %v, want %s", i, s.function, args, r.Items, failures(r), s.path)
		}
	}
}

const newRule = `<group name="new"><rule id="111111" level="5"><if_sid>5716</if_sid></rule></group>`

type m = map[string]any

func TestRules_UploadedAndDeleted(t *testing.T) {
	w := newWorld(t)
	up, del := "rule.upload_rule_file", "rule.delete_rule_file"
	w.play([]step{
		{up, m{"filename": "new_rule.xml", "content": newRule}, "etc/rules/new_rule.xml", 0},
		{up, m{"filename": "new_rule.xml", "content": newRule, "relative_dirname": "etc/rules/web"}, "etc/rules/web/new_rule.xml", 0},
		{up, m{"filename": "new_rule.xml", "content": newRule}, "etc/rules/new_rule.xml", fault.UploadExists},
		{up, m{"filename": "new_rule.xml", "content": newRule + "\n", "overwrite": true}, "etc/rules/new_rule.xml", 0},
		{up, m{"filename": "new_rule.xml", "content": "<group>\n<rule>\n</group>", "overwrite": true}, "etc/rules/new_rule.xml", fault.InvalidXML},
		{up, m{"filename": "x.xml", "content": "no element"}, "etc/rules/x.xml", fault.InvalidXML},
		{up, m{"filename": "x.xml", "content": " \n"}, "etc/rules/x.xml", fault.EmptyFile},
		{up, m{"filename": "x.xml", "content": newRule, "relative_dirname": "ruleset/rules"}, "ruleset/rules/x.xml", fault.RuleFolderDefault},
		{up, m{"filename": "x.xml", "content": newRule, "relative_dirname": "etc/rules/other"}, "etc/rules/other/x.xml", fault.RuleFolderUnknown},
		{up, m{"filename": "x.xml", "content": newRule, "relative_dirname": "custom/rules"}, "custom/rules/x.xml", fault.RuleFolderUnknown},
		{up, m{"filename": "x.xml", "content": newRule, "relative_dirname": "etc/rules/gone"}, "etc/rules/gone/x.xml", fault.RuleFolderAbsent},
		{del, m{"filename": "new_rule.xml"}, "etc/rules/new_rule.xml", 0},
		{del, m{"filename": "new_rule.xml"}, "etc/rules/new_rule.xml", fault.UploadAbsent},
		{del, m{"filename": "new_rule.xml", "relative_dirname": "etc/rules/web"}, "etc/rules/web/new_rule.xml", 0},
		{del, m{"filename": "0010-base_rules.xml"}, "etc/rules/0010-base_rules.xml", fault.UploadAbsent},
		{del, m{"filename": "0010-base_rules.xml", "relative_dirname": "ruleset/rules"}, "ruleset/rules/0010-base_rules.xml", fault.RuleFolderDefault},
	})
	if text, gone := w.read("ruleset/rules/0010-base_rules.xml"); gone || text == "" {
		t.Error("a rule of the product is gone")
	}
}

func TestDecodersAndLists_UploadedAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.write("etc/lists/audit-keys.cdb", "compiled")
	up, del := "cdb_list.upload_list_file", "cdb_list.delete_list_file"
	decoder := `<decoder name="d"><program_name>d</program_name></decoder>`
	w.play([]step{
		{"decoder.upload_decoder_file", m{"filename": "d.xml", "content": decoder}, "etc/decoders/d.xml", 0},
		{"decoder.upload_decoder_file", m{"filename": "d.xml", "content": decoder[1:], "overwrite": true}, "etc/decoders/d.xml", fault.InvalidXML},
		{"decoder.upload_decoder_file", m{"filename": "d.xml", "content": decoder, "relative_dirname": "etc/rules"}, "etc/rules/d.xml", fault.DecoderFolderUnknown},
		{"decoder.delete_decoder_file", m{"filename": "d.xml"}, "etc/decoders/d.xml", 0},
		{up, m{"filename": "new_list", "content": "a:b\r\n\n\"c:d\":\"e\"\n"}, "etc/lists/new_list", 0},
		{up, m{"filename": "new_list", "content": "a:b\n"}, "etc/lists/new_list", fault.UploadExists},
		{up, m{"filename": "new_list", "content": "a:b\n:c\n", "overwrite": true}, "etc/lists/new_list", fault.ListFormat},
		{up, m{"filename": "new_list", "content": "\n\n", "overwrite": true}, "etc/lists/new_list", fault.EmptyFile},
		{up, m{"filename": "sources", "content": "a:b\n"}, "etc/lists/sources", fault.ListNameTaken},
		{up, m{"filename": "amazon", "content": "a:b\n", "overwrite": true}, "etc/lists/amazon", fault.ListIsFolder},
		{del, m{"filename": "audit-keys"}, "etc/lists/audit-keys", 0},
		{del, m{"filename": "sources"}, "etc/lists/sources", fault.UploadAbsent},
		{del, m{"filename": "amazon"}, "etc/lists/amazon", fault.UploadKept},
	})
	if _, gone := w.read("etc/lists/audit-keys.cdb"); !gone {
		t.Error("the compiled list is still there")
	}
	if text, _ := w.read("etc/lists/new_list"); text != "a:b\r\n\n\"c:d\":\"e\"\n" {
		t.Errorf("a list is not stored as it was sent: %q", text)
	}
}

func TestUpload_ModeAndLine(t *testing.T) {
	w := newWorld(t)
	w.list("rule.upload_rule_file", `{"filename": "a.xml", "content": "<aa/>"}`)
	if info, err := os.Stat(filepath.Join(w.dir, "etc/rules/a.xml")); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode of the file: %v, %v", info.Mode(), err)
	}
	r := w.list("rule.upload_rule_file", `{"filename": "b.xml", "content": "<aa>\n\n</bb></aa>"}`)
	if want, got := "closing tag </bb> does not fit <aa> of line 1: line 3", r.Failed[0].Err.Extra; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
	r = w.list("cdb_list.upload_list_file", `{"filename": "b", "content": "a:b\nc\n"}`)
	if want, got := "no colon: line 2", r.Failed[0].Err.Extra; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
}

func TestWriting_OnMasterOnly(t *testing.T) {
	w := newWorld(t)
	w.c.Master = false
	for _, f := range []string{"rule.upload_rule_file", "decoder.upload_decoder_file", "cdb_list.upload_list_file"} {
		if _, err := w.ask(f, `{"filename": "a.xml", "content": "<aa/>"}`); codeOf(err) != fault.Unspecified {
			t.Errorf("%s on a worker: %v", f, err)
		}
	}
	if _, err := w.ask("rule.delete_rule_file", `{"filename": "local_rules.xml"}`); codeOf(err) != fault.Unspecified {
		t.Errorf("deletion on a worker: %v", err)
	}
	if _, gone := w.read("etc/rules/local_rules.xml"); gone {
		t.Error("a worker deleted a file")
	}
}

// Whoever reads while a file is overwritten sees one version or the other.
func TestUpload_ReadersSeeWholeFiles(t *testing.T) {
	w := newWorld(t)
	content := func(c string) string { return "<aa>" + strings.Repeat(c, 100_000) + "</aa>" }
	put := func(c string) {
		args, _ := json.Marshal(m{"filename": "big.xml", "content": content(c), "overwrite": true})
		if r := w.list("rule.upload_rule_file", string(args)); len(r.Failed) > 0 {
			t.Errorf("upload: %v", failures(r))
		}
	}
	put("a")
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if text, gone := w.read("etc/rules/big.xml"); gone || text != content("a") && text != content("b") {
					t.Errorf("half a file: %d bytes, gone %v", len(text), gone)
					return
				}
			}
		})
	}
	for range 10 {
		put("b")
		put("a")
	}
	close(done)
	readers.Wait()
}

// What a crash left of a writing is shown to nobody, and goes when it is old.
func TestUpload_AfterCrash(t *testing.T) {
	w := newWorld(t)
	const old, young = "etc/rules/.local_rules.xml.ABCDEFGHIJKL.tmp~", "etc/rules/.local_rules.xml.ABCDEFGHIJKM.tmp~"
	w.write(old, "<aa")
	w.write(young, "<aa")
	w.write("etc/lists/.audit-keys.ABCDEFGHIJKL.tmp~", "a")
	now := time.Now()
	if err := os.Chtimes(filepath.Join(w.dir, young), now, now); err != nil {
		t.Fatal(err)
	}
	if r := w.list("rule.get_rules_files", `{}`); r.Total != 4 {
		t.Errorf("%d files of rules, want 4: %s", r.Total, r.Items)
	}
	if r := w.list("cdb_list.get_path_lists", `{}`); r.Total != 2 {
		t.Errorf("%d lists, want 2: %s", r.Total, r.Items)
	}
	w.list("rule.upload_rule_file", `{"filename": "a.xml", "content": "<aa/>"}`)
	if _, gone := w.read(old); !gone {
		t.Error("the old remains are still there")
	}
	if _, gone := w.read(young); gone {
		t.Error("a writing under way was disturbed")
	}
}

// A writing that the disk refuses half-way leaves the old file, and nothing
// beside it.
func TestUpload_FailureLeavesTheOldFile(t *testing.T) {
	w := newWorld(t)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: before.Max}); err != nil {
		t.Skip("the size of files cannot be limited here:", err)
	}
	args := m{"filename": "local_rules.xml", "content": "<aa>" + strings.Repeat("x", 2<<20) + "</aa>", "overwrite": true}
	w.play([]step{{"rule.upload_rule_file", args, "etc/rules/local_rules.xml", fault.ConfigWrite}})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if text, _ := w.read("etc/rules/local_rules.xml"); !strings.Contains(text, "100001") {
		t.Errorf("the old file is gone: %q", text)
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, "etc/rules"))
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
	w.play([]step{{"rule.upload_rule_file", args, "etc/rules/local_rules.xml", 0}})
}

// Many ask while files come, change and go: each answer is one of a ruleset that
// there was, and nobody waits for anybody who is gone.
func TestRuleset_AskedWhileItChanges(t *testing.T) {
	w := newWorld(t)
	upload := func(level int) string {
		args, _ := json.Marshal(m{"filename": "z.xml", "overwrite": true, "content": fmt.Sprintf(
			`<group name="z"><rule id="700" level="%d"/><rule id="701" level="%[1]d"/></group>`, level)})
		return string(args)
	}
	done := make(chan struct{})
	var askers sync.WaitGroup
	for _, args := range []string{`{"group": "z"}`, `{"q": "groups=z", "sort_by": ["level"]}`, `{"search_text": "z.xml", "select": ["level"]}`} {
		askers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := w.ask("rule.get_rules", args)
				if err != nil {
					t.Error(err)
					return
				}
				levels := column(t, r.(*result.Affected), "level")
				if n := len(levels); n != 0 && (n != 2 || levels[0] != levels[1]) {
					t.Errorf("%s: levels %v of the two rules of one file", args, levels)
					return
				}
			}
		})
	}
	for level := range 8 {
		w.list("rule.upload_rule_file", upload(level))
		if level%3 == 2 {
			w.list("rule.delete_rule_file", `{"filename": "z.xml"}`)
		}
	}
	close(done)
	askers.Wait()
}
