package config

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// checkProblems looks at what holds of the problems of any input.
func checkProblems(t *testing.T, input string, problems []Problem) {
	t.Helper()
	last := 1 + strings.Count(strings.ReplaceAll(input, "\r", "\n"), "\n")
	for _, p := range problems {
		if p.Line < 0 || p.Line > last {
			t.Errorf("line %d of %d: %s", p.Line, last, p)
		}
		if p.Text == "" || strings.ContainsFunc(p.String(), unicode.IsControl) || !utf8.ValidString(p.String()) {
			t.Errorf("text unfit for a log: %q", p.String())
		}
	}
}

// checkUsable wants every value that a node would work with to make sense.
func checkUsable(t *testing.T, c *Config) {
	t.Helper()
	for _, fields := range [][]field{intervalFields(), settingFields()} {
		for i := range fields {
			f := &fields[i]
			value := show(f.at(c))
			if f.check != nil && f.check(*f.at(c).(*string)) != nil {
				t.Errorf("%s is %s", f.path, value)
			}
		}
	}
	for _, item := range c.Items.List {
		if badDirectory(item.Key) != "" || item.Mode&0o400 == 0 || len(item.Files) == 0 {
			t.Errorf("item %+v", item)
		}
	}
	if len(c.Explain()) == 0 {
		t.Error("nothing to explain")
	}
}

func FuzzConf(f *testing.F) {
	f.Add(conf(keyOption, nodesOption, "<node_type>worker</node_type>", "<name>x</name>"))
	f.Add(conf("<port>1</port>", "<disabled>x</disabled>", "<nodes><node>localhost</node></nodes>"))
	f.Add(conf(`<key a="1">x</key>`) + conf("<hidden>\u0085</hidden>", "<nöde>1</nöde>"))
	f.Fuzz(func(t *testing.T, text string) {
		cluster, problems := CheckConf("f", strings.NewReader(text))
		checkProblems(t, text, problems)
		if HasErrors(problems) || !cluster.Present || cluster.Disabled {
			return
		}
		if len(cluster.Key.Reveal()) != 32 || cluster.Port < 1025 || cluster.Port > 65534 ||
			cluster.Role != Master && cluster.Role != Worker || cluster.MasterAddress() == "" {
			t.Errorf("accepted: %+v", cluster)
		}
	})
}

func FuzzClusterJSON(f *testing.F) {
	f.Add(`{"intervals": {"worker": {"sync_integrity": 1}}, "distributed_api": {"enabled": false}}`)
	f.Add(`{"files": {"etc/x/": {"permissions": "0o660", "files": ["all"], "recursive": true}, "etc/rules/": null, "excluded_files": ["a"]}}`)
	f.Add("{\"a\": [1, 2,\n {\"b\": null}], \"a\": 1}")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseJSON([]byte(text))
		if err == nil && !json.Valid([]byte(text)) {
			t.Error("accepted what is no JSON")
		}
		if err == nil && parsed == nil {
			t.Error("neither a document nor an error")
		}
		for _, overlay := range []bool{false, true} {
			c := Default("")
			r := &report{file: "f"}
			r.clusterJSON(c, []byte(text), overlay)
			checkProblems(t, text, r.problems)
			if !HasErrors(r.problems) {
				checkUsable(t, c)
			}
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add(Reference(nil))
	f.Add("version: 4.7.5\nlimits: {uploads: 3, upload_age: 1h, queue_bytes: 64MiB}\n")
	f.Add("a: &a [*a, *a]\n---\n? x\n: y\n")
	f.Add("log:\n  format: !!binary aGk=\n  \"for\\u0085mat\": |\n   x\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default("")
		r := &report{file: "f"}
		r.settings(c, []byte(text))
		checkProblems(t, text, r.problems)
		checkUsable(t, c)
	})
}

func FuzzOption(f *testing.F) {
	f.Add("# c\nwazuh_clusterd.debug = 2\n next\n[x]\na:b\n")
	f.Fuzz(func(t *testing.T, text string) {
		value, err := parseOption(text, debugOption)
		last := 1 + strings.Count(strings.ReplaceAll(text, "\r", "\n"), "\n")
		if value.line < 0 || value.line > last || err != nil && value.line != 0 {
			t.Errorf("line %d of %d, %v", value.line, last, err)
		}
	})
}
