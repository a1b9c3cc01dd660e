package rulesetapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
)

const readsLocal = `{"rbac_mode": "white", "rules:read": {"rule:file:local_rules.xml": "allow"},
	"decoders:read": {"decoder:file:local_decoder.xml": "allow"}, "lists:read": {"list:file:audit-keys": "allow"}}`

func TestPermissions_OnlyFilesThatMayBeRead(t *testing.T) {
	w := newWorld(t)
	w.write("etc/rules/broken_rules.xml", "<group>")
	w.may(readsLocal)
	for _, test := range []struct {
		function, args, member string
		want                   []any
		failed                 map[string]fault.Code
	}{
		{"rule.get_rules", `{}`, "id", []any{100001.}, nil},
		{"rule.get_rules", `{"rule_ids": [2, 100001]}`, "id", []any{100001.}, map[string]fault.Code{"2": fault.RuleAbsent}},
		{"rule.get_rules_files", `{}`, "filename", []any{"local_rules.xml"}, nil},
		{"rule.get_rules_files", `{"filename": ["local_rules.xml", "web_rules.xml"]}`, "filename", []any{"local_rules.xml"},
			map[string]fault.Code{"web_rules.xml": fault.PermissionDenied}},
		{"decoder.get_decoders", `{"names": ["mine", "aa"]}`, "name", []any{"mine"}, map[string]fault.Code{"aa": fault.DecoderAbsent}},
		{"cdb_list.get_lists", `{}`, "filename", []any{"audit-keys"}, nil},
		{"cdb_list.get_path_lists", `{"filename": ["audit-keys", "sources"]}`, "filename", []any{"audit-keys"},
			map[string]fault.Code{"sources": fault.PermissionDenied}},
	} {
		r := w.list(test.function, test.args)
		if diff := cmp.Diff(test.want, column(t, r, test.member)); diff != "" {
			t.Errorf("items of %s %s (-want +got):\n%s", test.function, test.args, diff)
		}
		if test.failed == nil {
			test.failed = map[string]fault.Code{}
		}
		if diff := cmp.Diff(test.failed, failures(r)); diff != "" {
			t.Errorf("failed items of %s %s (-want +got):\n%s", test.function, test.args, diff)
		}
	}
}

// What is fixed or named alone is refused as a whole; lists of what one may not
// read at all are empty.
func TestPermissions_Refused(t *testing.T) {
	w := newWorld(t)
	w.may(`{"rbac_mode": "white"}`)
	for _, test := range []struct {
		function, args string
		refused        bool
	}{
		{"rule.get_rules", `{}`, false},
		{"rule.get_groups", `{}`, false},
		{"rule.get_requirement", `{"requirement": "tsc"}`, false},
		{"rule.get_rules_files", `{}`, false},
		{"rule.get_rules_files", `{"filename": ["local_rules.xml"]}`, true},
		{"rule.get_rule_file", `{"filename": "local_rules.xml"}`, true},
		{"rule.upload_rule_file", `{"filename": "new.xml", "content": "<aa/>"}`, true},
		{"rule.delete_rule_file", `{"filename": "local_rules.xml"}`, true},
		{"decoder.get_decoders", `{}`, false},
		{"decoder.get_decoder_file", `{"filename": "local_decoder.xml", "raw": true}`, true},
		{"decoder.upload_decoder_file", `{"filename": "new.xml", "content": "<aa/>"}`, true},
		{"decoder.delete_decoder_file", `{"filename": "nope.xml"}`, true},
		{"cdb_list.get_lists", `{}`, false},
		{"cdb_list.get_lists", `{"filename": ["audit-keys"]}`, true},
		{"cdb_list.get_list_file", `{"filename": ["audit-keys"]}`, true},
		{"cdb_list.upload_list_file", `{"filename": "new", "content": "a:b"}`, true},
		{"cdb_list.delete_list_file", `{"filename": "audit-keys"}`, true},
	} {
		r, err := w.ask(test.function, test.args)
		switch {
		case test.refused && codeOf(err) != fault.PermissionDenied:
			t.Errorf("%s %s: %v, want error 4000", test.function, test.args, err)
		case !test.refused && err != nil:
			t.Errorf("%s %s: %v", test.function, test.args, err)
		case !test.refused && w.list(test.function, test.args).Total != 0:
			t.Errorf("%s %s: %+v, want nothing", test.function, test.args, r)
		}
	}
}

// Overwriting needs the right to delete, too.
func TestPermissions_OverwritingDeletes(t *testing.T) {
	w := newWorld(t)
	w.may(`{"rbac_mode": "white", "lists:update": {"*:*:*": "allow"}, "lists:delete": {"list:file:mine": "allow"}}`)
	w.write("etc/lists/mine", "a:b\n")
	for name, want := range map[string]map[string]fault.Code{
		"audit-keys": {"etc/lists/audit-keys": fault.PermissionDenied}, "mine": {}, "new": {},
	} {
		r := w.list("cdb_list.upload_list_file", `{"filename": "`+name+`", "content": "k:v\n", "overwrite": true}`)
		if diff := cmp.Diff(want, failures(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if text, _ := w.read("etc/lists/audit-keys"); text != "w:write\nr:read\n" {
		t.Errorf("a file without permission was written: %q", text)
	}
}
