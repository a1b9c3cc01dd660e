package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/manifest"
)

// itemJSON writes an item as cluster.json has it.
func itemJSON(item manifest.Item) map[string]any {
	return map[string]any{
		"permissions": fmt.Sprintf("0o%o", item.Mode), "source": item.Source, "files": item.Files,
		"recursive": item.Recursive, "restart": item.Restart, "remove_subdirs_if_empty": item.RemoveEmpty,
		"extra_valid": item.ExtraValid, "description": item.Description,
	}
}

// wholeJSON is a cluster.json that says everything, with the defaults.
func wholeJSON(t *testing.T) map[string]any {
	t.Helper()
	items := manifest.DefaultItems()
	files := map[string]any{"excluded_files": items.ExcludedFiles, "excluded_extensions": items.ExcludedExtensions}
	for _, item := range items.List {
		files[item.Key] = itemJSON(item)
	}
	whole := map[string]any{"files": files}
	fields, defaults := intervalFields(), Default("")
	for i := range fields {
		at, parts := whole, strings.Split(fields[i].path, ".")
		for _, part := range parts[:len(parts)-1] {
			if at[part] == nil {
				at[part] = map[string]any{}
			}
			at = at[part].(map[string]any)
		}
		var value any
		switch v := fields[i].at(defaults).(type) {
		case *time.Duration:
			value = v.Seconds()
		case *int:
			value = *v
		case *int64:
			value = *v
		case *float64:
			value = *v
		case *bool:
			value = *v
		}
		at[parts[len(parts)-1]] = value
	}
	return whole
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// loadJSON reads a cluster.json in one of its places.
func loadJSON(t *testing.T, place, text string) (*Config, string) {
	t.Helper()
	home := writeHome(t, map[string]string{ConfPath: "", place: text})
	c, problems := Load(LoadOptions{Home: home})
	return c, lines(home, problems)
}

func TestClusterJSON_WholeFileOfDefaultsChangesNothing(t *testing.T) {
	for _, place := range []string{InstalledJSONPath, OwnJSONPath} {
		c, problems := loadJSON(t, place, marshal(t, wholeJSON(t)))
		if problems != "" {
			t.Errorf("%s:\n%s", place, problems)
		}
		if diff := cmp.Diff(defaultIntervals(), c.Intervals); diff != "" {
			t.Errorf("%s: intervals:\n%s", place, diff)
		}
		for _, want := range manifest.DefaultItems().List {
			if got, _ := c.Items.Lookup(want.Key); cmp.Diff(want, got) != "" {
				t.Errorf("%s: item:\n%s", place, cmp.Diff(want, got))
			}
		}
	}
}

func TestClusterJSON_EveryKeyIsHonoured(t *testing.T) {
	c, problems := loadJSON(t, OwnJSONPath, `{
		"files": {
			"etc/custom/": {"permissions": "0o600", "files": ["a.txt", "b.txt"], "recursive": false, "remove_subdirs_if_empty": true},
			"etc/rules/": {"permissions": "0640", "restart": true},
			"etc/lists/": null,
			"excluded_files": ["skip.me"],
			"excluded_extensions": [".bak"]
		},
		"intervals": {
			"worker": {"sync_integrity": 1.5, "keep_alive": 30, "max_failed_keepalive_attempts": 3},
			"master": {"agent_group_start_delay": 0, "process_pool_size": 4},
			"communication": {"max_zip_size": 2000, "min_zip_size": 1000, "compress_level": 9, "zip_limit_tolerance": 0.5}
		},
		"distributed_api": {"enabled": false}
	}`)
	if problems != "" {
		t.Errorf("problems:\n%s", problems)
	}
	custom, _ := c.Items.Lookup("etc/custom/")
	wantCustom := manifest.Item{Key: "etc/custom/", Mode: 0o600, Source: "master", Files: []string{"a.txt", "b.txt"}, RemoveEmpty: true}
	if diff := cmp.Diff(wantCustom, custom); diff != "" {
		t.Errorf("custom item:\n%s", diff)
	}
	rules, _ := c.Items.Lookup("etc/rules/")
	if rules.Mode != 0o640 || !rules.Restart || !rules.Recursive {
		t.Errorf("changed item: %+v", rules)
	}
	if _, there := c.Items.Lookup("etc/lists/"); there {
		t.Error("item set to null is still there")
	}
	if c.Items.Excluded("ar.conf") || !c.Items.Excluded("skip.me") || !c.Items.Excluded("x.bak") {
		t.Errorf("exclusions: %v %v", c.Items.ExcludedFiles, c.Items.ExcludedExtensions)
	}
	want := defaultIntervals()
	want.Worker.SyncIntegrity, want.Worker.KeepAlive, want.Worker.MaxFailedKeepAlives = 1500*time.Millisecond, 30*time.Second, 3
	want.Master.AgentGroupStartDelay, want.Master.ProcessPoolSize = 0, 4
	want.Communication.MaxZipSize, want.Communication.MinZipSize = 2000, 1000
	want.Communication.CompressLevel, want.Communication.ZipLimitTolerance = 9, 0.5
	if diff := cmp.Diff(want, c.Intervals); diff != "" {
		t.Errorf("intervals:\n%s", diff)
	}
	if c.DistributedAPI {
		t.Error("distributed_api.enabled is still true")
	}
}

func TestClusterJSON_InstalledListIsWhole(t *testing.T) {
	whole := wholeJSON(t)
	delete(whole["files"].(map[string]any), "etc/lists/")
	c, problems := loadJSON(t, InstalledJSONPath, marshal(t, whole))
	if _, there := c.Items.Lookup("etc/lists/"); there {
		t.Error("etc/lists/ is synchronised though the installed file leaves it out")
	}
	if !strings.Contains(problems, "warning: files: etc/lists/ is not listed and will not be synchronised") {
		t.Errorf("problems:\n%s", problems)
	}
}

func TestClusterJSON_OwnOverInstalled(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:          "",
		InstalledJSONPath: `{"intervals": {"communication": {"max_zip_size": 10, "compress_level": 3}}}`,
		OwnJSONPath:       `{"intervals": {"communication": {"min_zip_size": 5}}}`,
	})
	c, problems := Load(LoadOptions{Home: home})
	com := c.Intervals.Communication
	if com.MaxZipSize != 10 || com.MinZipSize != 5 || com.CompressLevel != 3 || len(problems) > 0 {
		t.Errorf("got %+v and %v", com, problems)
	}
}

func TestClusterJSON_Refused(t *testing.T) {
	long := strings.Repeat("k", 90)
	item := func(properties string) string {
		return `{"files": {"etc/custom/": {"permissions": "0o660", "files": ["all"], "recursive": true` + properties + `}}}`
	}
	tests := []struct{ name, text, want string }{
		{"empty", "", "1: the document ends too early"},
		{"cut", "{\"intervals\": {\n", "1: the document ends too early"},
		{"no object", "[]", "1: must be an object, not a list"},
		{"comma missing", "{\"a\": 1\n \"b\": 2}", "2: invalid character '\"' after object key:value pair"},
		{"more after it", "{}\n{}", "2: something follows the document"},
		{"not UTF-8", "{\"a\": \"\xff\"}", "1: not UTF-8"},
		{"too deep", strings.Repeat("[", 100), "1: nested deeper than 16"},
		{"key twice", "{\"intervals\": {},\n\"intervals\": {}}", `2: key "intervals" is given twice, first on line 1`},
		{"unknown key", `{"interval": {}}`, "1: interval: unknown key; is intervals meant?"},
		{"unknown key below", "{\"intervals\": {\"worker\": {\n\"keepalive\": 1}}}", "2: intervals.worker.keepalive: unknown key; is intervals.worker.keep_alive meant?"},
		{"unknown key unlike any", `{"` + long + `": 1}`, "1: " + long[:80] + "...: unknown key"},
		{"key that spoils logs", `{"a\nb": 1}`, `1: "a\nb": unknown key`},
		{"section is a number", `{"intervals": {"worker": 5}}`, "1: intervals.worker: must be an object, not 5"},
		{"section is null", `{"intervals": {"worker": null}}`, ""},
		{"text for a number", `{"intervals": {"worker": {"keep_alive": "60"}}}`, `1: intervals.worker.keep_alive: must be a number, not "60"`},
		{"null for a number", `{"intervals": {"worker": {"keep_alive": null}}}`, "1: intervals.worker.keep_alive: must be a number, not nothing"},
		{"zero seconds", `{"intervals": {"worker": {"keep_alive": 0}}}`, "1: intervals.worker.keep_alive: 0 is not between 0.01 s and 31536000 s"},
		{"negative", `{"intervals": {"master": {"recalculate_integrity": -8}}}`, "1: intervals.master.recalculate_integrity: -8 is not between 0.01 s and 31536000 s"},
		{"beyond numbers", `{"intervals": {"worker": {"keep_alive": 1e999}}}`, "1: intervals.worker.keep_alive: must be a number, not 1e999"},
		{"half a count", `{"intervals": {"worker": {"max_failed_keepalive_attempts": 1.5}}}`, "1: intervals.worker.max_failed_keepalive_attempts: must be a whole number, not 1.5"},
		{"level", `{"intervals": {"communication": {"compress_level": 10}}}`, "1: intervals.communication.compress_level: 10 is not between -1 and 9"},
		{"tolerance", `{"intervals": {"communication": {"zip_limit_tolerance": 1}}}`, "1: intervals.communication.zip_limit_tolerance: 1 is not between 0 and 0.99"},
		{"sizes crossed", "{\"intervals\": {\"communication\": {\n\"max_zip_size\": 10}}}", "2: intervals.communication.min_zip_size: 31457280 is more than max_zip_size, 10"},
		{"truth as a word", `{"distributed_api": {"enabled": "yes"}}`, `1: distributed_api.enabled: must be true or false, not "yes"`},
		{"files is a list", `{"files": []}`, "1: files: must be an object, not a list"},
		{"directory without slash", `{"files": {"etc/custom": {}}}`, "1: files.etc/custom: a directory must end in '/'"},
		{"directory outside", `{"files": {"../x/": {}}}`, "1: files.../x/: must be a clean path below the home"},
		{"absolute directory", `{"files": {"/etc/": {}}}`, "1: files./etc/: must be a clean path below the home"},
		{"the home itself", `{"files": {"/": {}}}`, "1: files./: must be a clean path below the home"},
		{"working directory", `{"files": {"queue/db/": {}}}`, "1: files.queue/db/: queue/db is kept by each node itself and cannot be synchronised"},
		{"directory is a text", `{"files": {"etc/custom/": "all"}}`, `1: files.etc/custom/: must be an object, not "all"`},
		{"what matters is missing", `{"files": {"etc/custom/": {"permissions": "0o660", "files": ["all"]}}}`, "1: files.etc/custom/: recursive is missing"},
		{"unknown property", item(`, "owner": "x"`), "1: files.etc/custom/.owner: unknown key"},
		{"mode is no number", item(`, "restart": 1`), "1: files.etc/custom/.restart: must be true or false, not 1"},
		{"from workers", item(`, "source": "worker"`), `1: files.etc/custom/.source: only "master" is supported, not "worker"`},
		{"extra_valid", item(`, "extra_valid": true`), "1: files.etc/custom/.extra_valid: is not supported: no node sends files to its master"},
		{"description", item(`, "description": 1`), "1: files.etc/custom/.description: must be a text, not 1"},
		{"mode as a number", `{"files": {"etc/rules/": {"permissions": 660}}}`, `1: files.etc/rules/.permissions: must be a text such as "0o640", not 660`},
		{"mode as words", `{"files": {"etc/rules/": {"permissions": "rw"}}}`, `1: files.etc/rules/.permissions: "rw" is no mode such as "0o640"`},
		{"mode with set-user-id", `{"files": {"etc/rules/": {"permissions": "0o4755"}}}`, `1: files.etc/rules/.permissions: "0o4755" is no mode of a file that its owner can read (0o400 to 0o777)`},
		{"mode nobody can read", `{"files": {"etc/rules/": {"permissions": "0"}}}`, `1: files.etc/rules/.permissions: "0" is no mode of a file that its owner can read (0o400 to 0o777)`},
		{"no files", `{"files": {"etc/rules/": {"files": []}}}`, `1: files.etc/rules/.files: must name files, or be ["all"]`},
		{"all and one", `{"files": {"etc/rules/": {"files": ["all", "x"]}}}`, `1: files.etc/rules/.files: must name files, or be ["all"]`},
		{"file with a slash", `{"files": {"etc/rules/": {"files": ["a/b"]}}}`, `1: files.etc/rules/.files: "a/b" is no file name`},
		{"exclusion is a number", `{"files": {"excluded_files": [1]}}`, "1: files.excluded_files: 1 is no file name"},
		{"exclusions as a text", `{"files": {"excluded_extensions": ".tmp"}}`, `1: files.excluded_extensions: must be a list, not ".tmp"`},
		{"taking in the configuration", `{"files": {"etc/": {"files": ["all"]}, "excluded_files": []}}`, "1: files.etc/: would synchronise etc/ossec.conf, which is different on each node"},
		{"taking in working directories", `{"files": {"var/": {"permissions": "0o660", "files": ["x"], "recursive": true}, "var/multigroups/": null}}`, "1: files.var/: would take in var/run, which is kept by each node itself"},
		{"one inside the other", `{"files": {"etc/rules/own/": {"permissions": "0o660", "files": ["all"], "recursive": true}}}`, "1: files.etc/rules/own/: lies inside etc/rules/, which is recursive already"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, problems := loadJSON(t, OwnJSONPath, test.text)
			want := ""
			if test.want != "" {
				line, text, _ := strings.Cut(test.want, ": ")
				want = fmt.Sprintf("etc/cluster.json:%s: error: Error 3005 - Error reading cluster JSON file: %s\n", line, text)
			}
			if diff := cmp.Diff(want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if c == nil {
				t.Error("no Config")
			}
		})
	}
}

func TestClusterJSON_Bounds(t *testing.T) {
	_, problems := loadJSON(t, OwnJSONPath, strings.Repeat(" ", maxFileBytes+1))
	if !strings.Contains(problems, "larger than 1 MiB") {
		t.Errorf("file of more than 1 MiB: %s", problems)
	}
	var b strings.Builder
	for i := range maxMembers + 1 {
		fmt.Fprintf(&b, ", \"k%d\": 0", i)
	}
	_, problems = loadJSON(t, OwnJSONPath, "{"+b.String()[2:]+"}")
	if !strings.Contains(problems, "more than 1000 keys in one object") {
		t.Errorf("object of too many keys: %.200s", problems)
	}
}

func TestClusterJSON_KeepAliveLongerThanAllowed(t *testing.T) {
	_, problems := loadJSON(t, OwnJSONPath, "{\"intervals\":\n{\"worker\": {\"keep_alive\": 120}}}")
	want := "etc/cluster.json:2: warning: intervals.worker.keep_alive: 2m0s is not less than " +
		"intervals.master.max_allowed_time_without_keepalive, 2m0s: workers will be disconnected while they live\n"
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
