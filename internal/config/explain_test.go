package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestExplain_SaysWhereSettingsCameFrom(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:         conf(keyOption, "<port>1600</port>", nodesOption, "<nice>1</nice>"),
		LocalOptionsPath: "# local\nwazuh_clusterd.debug=1\n",
		OwnJSONPath:      "{\"files\": {\n\"etc/custom/\": {\"permissions\": \"0o600\", \"files\": [\"a\"], \"recursive\": true}},\n\"intervals\": {\"worker\": {\"keep_alive\": 30}}}",
		SettingsPath:     "limits:\n  upload_bytes: 3GiB\n",
	})
	c, problems := Load(LoadOptions{Home: home})
	if HasErrors(problems) {
		t.Fatal(lines(home, problems))
	}
	want := map[string]string{
		"cluster.key":                 "*** from etc/ossec.conf:3",
		"cluster.port":                "1600 from etc/ossec.conf:4",
		"cluster.nodes":               `"192.0.2.1" from etc/ossec.conf:5`,
		"cluster.nice":                `"1" from etc/ossec.conf:6`,
		"cluster.name":                `"wazuh" from built-in`,
		"cluster.disabled":            "no from built-in",
		"wazuh_clusterd.debug":        "1 from etc/local_internal_options.conf:2",
		"files.etc/custom/":           `0600 "a" recursive from etc/cluster.json:2`,
		"files.etc/shared/":           `0660 "all" recursive remove_subdirs_if_empty from built-in`,
		"intervals.worker.keep_alive": "30s from etc/cluster.json:3",
		"distributed_api.enabled":     "true from built-in",
		"limits.upload_bytes":         "3GiB from etc/testudo.yaml:2",
		"limits.hello_timeout":        "30s from built-in",
		"version":                     `"4.7.5" from built-in`,
	}
	got := wantExplained(t, c, want)
	if n := len(intervalFields()) + len(settingFields()); got < n+10 {
		t.Errorf("%d settings explained, of more than %d", got, n+10)
	}
}

func TestSecret_IsNeverShown(t *testing.T) {
	c := Default("/h")
	c.Cluster.Key = goodKey
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "key", c.Cluster.Key, "cluster", c.Cluster)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{
		log.String(), string(encoded), fmt.Sprint(c.Cluster), fmt.Sprintf("%+v %#v %s %q %v", c.Cluster, c.Cluster, c.Cluster.Key, c.Cluster.Key, &c.Cluster),
	}
	for _, s := range c.Explain() {
		shown = append(shown, s.Value)
	}
	for _, text := range shown {
		if strings.Contains(text, goodKey) {
			t.Errorf("the key is in %s", text)
		}
	}
	if c.Cluster.Key.Reveal() != goodKey {
		t.Error("Reveal does not give the key")
	}
	if Secret("").String() != "" {
		t.Error("an empty secret looks like one")
	}
}

func TestProblems_DoNotShowTheKey(t *testing.T) {
	_, problems := loadConf(t, conf("<key>"+goodKey+"x</key>", nodesOption))
	if problems == "" || strings.Contains(problems, goodKey) {
		t.Errorf("problems: %s", problems)
	}
}

// wantExplained compares settings with their value and where it came from. It
// returns how many settings are explained, each once.
func wantExplained(t *testing.T, c *Config, want map[string]string) int {
	t.Helper()
	got := map[string]string{}
	for _, s := range c.Explain() {
		if _, twice := got[s.Path]; twice {
			t.Errorf("%s is listed twice", s.Path)
		}
		got[s.Path] = s.Value + " from " + strings.TrimPrefix(s.Source, c.Home+"/")
	}
	for path, want := range want {
		if got[path] != want {
			t.Errorf("%s: got %s, want %s", path, got[path], want)
		}
	}
	return len(got)
}
