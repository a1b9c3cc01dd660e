package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func loadSettings(t *testing.T, text string) (*Config, string) {
	t.Helper()
	home := writeHome(t, map[string]string{ConfPath: "", SettingsPath: text})
	c, problems := Load(LoadOptions{Home: home})
	return c, lines(home, problems)
}

func TestSettings_NothingSet(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comments": "# nothing\n", "empty document": "---\n", "empty sections": "limits:\nlog:\n", "null": "~\n",
		"reference": Reference(nil),
	} {
		t.Run(name, func(t *testing.T) {
			c, problems := loadSettings(t, text)
			if problems != "" {
				t.Errorf("problems:\n%s", problems)
			}
			if diff := cmp.Diff(defaultSettings(), c.Testudo); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettings_EveryKindOfValue(t *testing.T) {
	c, problems := loadSettings(t, `
version: 4.14.0
metrics: {address: "[::1]:9000"}
log:
  format: json
integrity:
  hold_shrink: false
  shrink_ratio: 0.25
  watch: false
  cache_bytes: 1.5GiB
limits:
  hello_timeout: 1m30s
  hello_bytes: 8192
  queue_bytes: 64 MiB
  connections: 10
`)
	if problems != "" {
		t.Errorf("problems:\n%s", problems)
	}
	want := defaultSettings()
	want.Version, want.Metrics.Address, want.Log.Format = "4.14.0", "[::1]:9000", "json"
	want.Integrity = IntegritySettings{HoldShrink: false, ShrinkRatio: 0.25, Watch: false, CacheBytes: 3 << 29}
	want.Limits.HelloTimeout, want.Limits.HelloBytes = 90*time.Second, 8192
	want.Limits.QueueBytes, want.Limits.Connections = 64<<20, 10
	if diff := cmp.Diff(want, c.Testudo); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestSettings_MetricsOff(t *testing.T) {
	c, problems := loadSettings(t, "metrics:\n  address: \"\"\n")
	if c.Testudo.Metrics.Address != "" || problems != "" {
		t.Errorf("got %q and %s", c.Testudo.Metrics.Address, problems)
	}
}

func TestSettings_ReferenceWithValues(t *testing.T) {
	text := Reference(map[string]string{"metrics.address": `"127.0.0.1:7000"`, "log.format": "json"})
	c, problems := loadSettings(t, text)
	if c.Testudo.Metrics.Address != "127.0.0.1:7000" || c.Testudo.Log.Format != "json" || problems != "" {
		t.Errorf("got %+v and %s", c.Testudo, problems)
	}
}

// What the reference shows as the default must be what one may write.
func TestSettings_ReferenceUncommented(t *testing.T) {
	set := map[string]string{}
	fields := settingFields()
	for i := range fields {
		set[fields[i].path] = show(fields[i].at(Default("")))
		if fields[i].doc == "" {
			t.Errorf("%s is not explained", fields[i].path)
		}
	}
	c, problems := loadSettings(t, Reference(set))
	if problems != "" {
		t.Errorf("problems:\n%s", problems)
	}
	if diff := cmp.Diff(defaultSettings(), c.Testudo); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestSettings_Refused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"not YAML", "log:\n  format: [\n", "2: did not find expected node content"},
		{"tabs", "log:\n\tformat: json\n", "2: found character that cannot start any token"},
		{"a list", "- 1\n", "1: must be an object, not a list"},
		{"a second document", "log:\n---\nlog:\n", "2: a second document begins here"},
		{"unknown key", "log:\n  fromat: json\n", "2: log.fromat: unknown key; is log.format meant?"},
		{"service", "services:\n  agentdb: none\n", `2: services.agentdb: "none" is neither "embedded" nor "external"`},
		{"key twice", "log:\n  format: json\n  format: text\n", `3: key "format" is given twice, first on line 2`},
		{"alias", "log: &x\n  format: json\nlimits: *x\n", "1: anchors and aliases are not supported"},
		{"key is a list", "? [a]\n: 1\n", "1: a key is no text"},
		{"time without unit", "limits:\n  hello_timeout: 30\n", "2: limits.hello_timeout: 30 has no unit; write 30s, 30m or the like"},
		{"time is a word", "limits:\n  hello_timeout: soon\n", `2: limits.hello_timeout: must be a time such as 30s or 1m30s, not "soon"`},
		{"time out of range", "limits:\n  hello_timeout: 0s\n", `2: limits.hello_timeout: "0s" is not between 100ms and 1h0m0s`},
		{"time negative", "limits:\n  hello_timeout: -30s\n", `2: limits.hello_timeout: "-30s" is not between 100ms and 1h0m0s`},
		{"size is a word", "limits:\n  queue_bytes: big\n", `2: limits.queue_bytes: "big" is no size; write bytes, or a number with KiB, MiB, GiB or TiB`},
		{"size in other units", "limits:\n  queue_bytes: 64MB\n", `2: limits.queue_bytes: "64MB" is no size; write bytes, or a number with KiB, MiB, GiB or TiB`},
		{"size too small", "limits:\n  queue_bytes: 1KiB\n", `2: limits.queue_bytes: "1KiB" is not between 8MiB and 64GiB`},
		{"size negative", "limits:\n  queue_bytes: -1\n", `2: limits.queue_bytes: "-1" is no size; write bytes, or a number with KiB, MiB, GiB or TiB`},
		{"size is a list", "limits:\n  queue_bytes: []\n", "2: limits.queue_bytes: must be a size such as 256MiB, not a list"},
		{"count is quoted", "limits:\n  uploads: \"8\"\n", `2: limits.uploads: must be a whole number, not "8"`},
		{"count is broken", "limits:\n  uploads: 1.5\n", "2: limits.uploads: must be a whole number, not 1.5"},
		{"count is zero", "limits:\n  uploads: 0\n", "2: limits.uploads: 0 is not between 1 and 10000"},
		{"truth", "integrity:\n  watch: yes please\n", `2: integrity.watch: must be true or false, not "yes please"`},
		{"ratio", "integrity:\n  shrink_ratio: 50\n", "2: integrity.shrink_ratio: 50 is not between 0.01 and 1"},
		{"ratio is no number", "integrity:\n  shrink_ratio: .nan\n", "2: integrity.shrink_ratio: must be a number, not .nan"},
		{"nothing after the key", "metrics:\n  address:\n", "2: metrics.address: must be a text, not nothing"},
		{"version", "version: 4.7\n", `1: version: "4.7" is no version such as 4.7.5`},
		{"format", "log: {format: xml}\n", `1: log.format: "xml" is neither "text" nor "json"`},
		{"address without port", "metrics: {address: localhost}\n", `1: metrics.address: "localhost" is no address such as 127.0.0.1:9616`},
		{"port", "metrics: {address: \"localhost:99999\"}\n", `1: metrics.address: "99999" is no port`},
		{"address", "enrolment: {address: localhost}\n", `1: enrolment.address: "localhost" is no IP address`},
		{"host", "metrics: {address: \"a b:9616\"}\n", "1: metrics.address: its host is no address and no host name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, problems := loadSettings(t, test.text)
			line, text, _ := strings.Cut(test.want, ": ")
			want := fmt.Sprintf("etc/testudo.yaml:%s: error: %s\n", line, text)
			if diff := cmp.Diff(want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(defaultSettings(), c.Testudo); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettings_Relations(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:     "",
		OwnJSONPath:  "{\"intervals\": {\"communication\": {\"max_zip_size\": 4294967296},\n\"worker\": {\"connection_retry\": 90}}}",
		SettingsPath: "metrics:\n  address: \":9616\"\n",
	})
	_, problems := Load(LoadOptions{Home: home})
	want := `etc/testudo.yaml:2: warning: metrics.address: metrics have no password, and ":9616" is more than the loopback address
etc/cluster.json:1: warning: limits.upload_bytes: 2GiB is less than max_zip_size, 4GiB: packages between the two will be refused
`
	if diff := cmp.Diff(want, lines(home, problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestByteSize_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := ByteSize(rapid.Int64Min(0).Draw(t, "size"))
		again, err := ParseByteSize(size.String())
		if err != nil || again != size {
			t.Fatalf("%d is written %q and read %d, %v", size, size, again, err)
		}
	})
}

func TestParseByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0": 0, "17": 17, "17B": 17, "1KiB": 1024, "256MiB": 256 << 20, "1 GiB": 1 << 30, "2TiB": 2 << 40, "0.5KiB": 512, "1.0": 1,
	} {
		if got, err := ParseByteSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "1.5", "1 ", " 1", "+1", "1e3", "1kib", "9223372036854775808", "99999999999TiB", "0.1KiB"} {
		if got, err := ParseByteSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
