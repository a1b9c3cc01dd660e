package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAPIConf(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"no file", "", `"host":"0.0.0.0","port":55000,"drop_privileges":true,"experimental_features":false,"max_upload_size":10485760,"intervals":{"request_timeout":10},"https":{"enabled":true,"key":"HOME/api/configuration/ssl/server.key"`},
		{"some settings", "host: \"127.0.0.1\"\nhttps:\n  key: MyKey.key\n  enabled: no\nintervals:\n  request_timeout: 20\n", `"host":"127.0.0.1","port":55000,"drop_privileges":true,"experimental_features":false,"max_upload_size":10485760,"intervals":{"request_timeout":20},"https":{"enabled":false,"key":"HOME/api/configuration/ssl/mykey.key","cert":"HOME/api/configuration/ssl/server.crt"`},
		{"of older versions", "use_only_authd: yes\nlogs:\n  path: /x\n  level: DEBUG\n", `"logs":{"level":"debug","format":"plain","max_size":{"enabled":false,"size":"1M"}}`},
		{"headers", "cors:\n  allow_headers: [X-A, x-b]\n  enabled: yes\n", `"cors":{"enabled":true,"source_route":"*","expose_headers":"*","allow_headers":["X-A","x-b"],"allow_credentials":false}`},
		{"commands", "upload_configuration:\n  remote_commands:\n    localfile:\n      allow: no\n      exceptions: [\"ls -L\"]\n", `"localfile":{"allow":false,"exceptions":["ls -L"]},"wodle_command":{"allow":true,"exceptions":[]}`},
		{"a key that leads elsewhere", "https:\n  key: ../../../etc/shadow\n", `"key":"HOME/api/configuration/ssl/shadow"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home := homeWithAPI(t, test.file)
			conf, err := ReadAPIConf(home)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(conf)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(string(data), home, "HOME"); !strings.Contains(got, test.want) {
				t.Errorf("got %s\nwant in it %s", got, test.want)
			}
		})
	}
}

func TestReadAPIConf_Refused(t *testing.T) {
	for name, text := range map[string]string{
		"an unknown key":  "hots: x\n",
		"another type":    "port: [1]\n",
		"no YAML":         "host: [\n",
		"text for a bool": "drop_privileges: perhaps\n",
		"too large":       "# " + strings.Repeat("x", mostAPIConf),
	} {
		t.Run(name, func(t *testing.T) {
			if conf, err := ReadAPIConf(homeWithAPI(t, text)); err == nil {
				t.Errorf("got %+v, want an error", conf)
			}
		})
	}
}

// homeWithAPI makes a home with a file of settings; none for no text.
func homeWithAPI(t *testing.T, text string) string {
	t.Helper()
	home := t.TempDir()
	if text == "" {
		return home
	}
	path := filepath.Join(home, APIConfPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}
