package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Where the API of an installation has its settings and its keys, relative to the
// home.
const (
	APIConfPath = "api/configuration/api.yaml"
	apiTLSDir   = "api/configuration/ssl"
)

const mostAPIConf = 1 << 20

// APIConf is the settings of an installation's API (docs/nodefunctions.md §4),
// as JSON in the order in which users see them. A node only tells them, except for
// Upload, which holds for configurations that it is to write.
type APIConf struct {
	Host          string      `json:"host"`
	Port          json.Number `json:"port"`
	DropRights    bool        `json:"drop_privileges"`
	Experimental  bool        `json:"experimental_features"`
	MaxUploadSize json.Number `json:"max_upload_size"`
	Intervals     struct {
		RequestTimeout json.Number `json:"request_timeout"`
	} `json:"intervals"`
	HTTPS APIConfTLS `json:"https"`
	Logs  APIConfLog `json:"logs"`
	CORS  APIConfWeb `json:"cors"`
	Cache struct {
		Enabled bool        `json:"enabled"`
		Time    json.Number `json:"time"`
	} `json:"cache"`
	Access struct {
		LoginAttempts json.Number `json:"max_login_attempts"`
		BlockTime     json.Number `json:"block_time"`
		Requests      json.Number `json:"max_request_per_minute"`
	} `json:"access"`
	Upload APIConfUpload `json:"upload_configuration"`
}

// APIConfTLS is the section https.
type APIConfTLS struct {
	Enabled     bool   `json:"enabled"`
	Key         string `json:"key"`
	Certificate string `json:"cert"`
	UseCA       bool   `json:"use_ca"`
	CA          string `json:"ca"`
	Protocol    string `json:"ssl_protocol"`
	Ciphers     string `json:"ssl_ciphers"`
}

// APIConfLog is the section logs.
type APIConfLog struct {
	Level   string `json:"level"`
	Format  string `json:"format"`
	MaxSize struct {
		Enabled bool   `json:"enabled"`
		Size    string `json:"size"`
	} `json:"max_size"`
}

// APIConfWeb is the section cors. Headers are a text or a list of them.
type APIConfWeb struct {
	Enabled     bool            `json:"enabled"`
	Source      json.RawMessage `json:"source_route"`
	Expose      json.RawMessage `json:"expose_headers"`
	Allow       json.RawMessage `json:"allow_headers"`
	Credentials bool            `json:"allow_credentials"`
}

// APIConfUpload says what uploaded configurations may hold.
type APIConfUpload struct {
	RemoteCommands struct {
		LocalFile APIConfCommands `json:"localfile"`
		Module    APIConfCommands `json:"wodle_command"`
	} `json:"remote_commands"`
	Limits struct {
		EPS APIConfAllow `json:"eps"`
	} `json:"limits"`
	Agents struct {
		HigherVersions APIConfAllow `json:"allow_higher_versions"`
	} `json:"agents"`
}

// APIConfCommands says whether commands may be uploaded; if not, which may all
// the same.
type APIConfCommands struct {
	Allow      bool     `json:"allow"`
	Exceptions []string `json:"exceptions"`
}

// APIConfAllow says whether something may be uploaded.
type APIConfAllow struct {
	Allow bool `json:"allow"`
}

// apiDefaults is what holds without a file.
const apiDefaults = `{"host": "0.0.0.0", "port": 55000, "drop_privileges": true, "max_upload_size": 10485760,
"intervals": {"request_timeout": 10},
"https": {"enabled": true, "key": "server.key", "cert": "server.crt", "ca": "ca.crt", "ssl_protocol": "TLSv1.2"},
"logs": {"level": "info", "format": "plain", "max_size": {"size": "1M"}},
"cors": {"source_route": "*", "expose_headers": "*", "allow_headers": "*"},
"cache": {"enabled": true, "time": 0.75},
"access": {"max_login_attempts": 50, "block_time": 300, "max_request_per_minute": 300},
"upload_configuration": {
 "remote_commands": {"localfile": {"allow": true, "exceptions": []}, "wodle_command": {"allow": true, "exceptions": []}},
 "limits": {"eps": {"allow": true}}, "agents": {"allow_higher_versions": {"allow": true}}}}`

// ReadAPIConf reads the settings of the API of a home. Without a file they are
// the built-in ones.
func ReadAPIConf(home string) (APIConf, error) {
	file, err := os.Open(filepath.Join(home, APIConfPath))
	if errors.Is(err, fs.ErrNotExist) {
		return apiConf(home, nil)
	} else if err != nil {
		return APIConf{}, fmt.Errorf("read settings of the API: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostAPIConf+1))
	switch {
	case err != nil:
		return APIConf{}, fmt.Errorf("read settings of the API: %w", err)
	case len(text) > mostAPIConf:
		return APIConf{}, fmt.Errorf("%s is larger than %d bytes", APIConfPath, mostAPIConf)
	}
	return apiConf(home, text)
}

func apiConf(home string, text []byte) (c APIConf, err error) {
	if err := json.Unmarshal([]byte(apiDefaults), &c); err != nil {
		return c, err
	}
	n, err := parseYAML(text)
	if err != nil {
		return c, fmt.Errorf("%s: %w", APIConfPath, err)
	}
	if n != nil {
		var b bytes.Buffer
		if err := n.apiJSON(&b, ""); err != nil {
			return c, fmt.Errorf("%s: %w", APIConfPath, err)
		}
		dec := json.NewDecoder(&b)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return c, fmt.Errorf("%s: %w", APIConfPath, err)
		}
	}
	for _, name := range []*string{&c.HTTPS.Key, &c.HTTPS.Certificate, &c.HTTPS.CA} {
		*name = filepath.Join(home, apiTLSDir, filepath.Base(*name))
	}
	return c, nil
}

// apiJSON writes what the original makes of a value: texts in lower case, yes and
// no as truth. Items of lists stay as written.
func (n *node) apiJSON(b *bytes.Buffer, path string) error {
	switch n.kind {
	case kindObject:
		before := "{"
		for _, m := range n.members {
			at := strings.TrimPrefix(path+"."+m.key, ".")
			if at == "use_only_authd" || at == "logs.path" { // of older versions
				continue
			}
			b.WriteString(before)
			before = ","
			if err := writeJSON(b, m.key); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := m.value.apiJSON(b, at); err != nil {
				return err
			}
		}
		b.WriteString(strings.TrimSuffix(before, ",") + "}")
		return nil
	case kindText:
		switch text := strings.ToLower(n.text); text {
		case "yes", "no":
			return writeJSON(b, text == "yes")
		default:
			return writeJSON(b, text)
		}
	case kindList:
		list := make([]string, len(n.list))
		for i, item := range n.list {
			list[i] = item.text
		}
		return writeJSON(b, list)
	case kindNumber, kindBool:
		b.WriteString(strings.ToLower(n.text))
		return nil
	}
	b.WriteString("null")
	return nil
}
