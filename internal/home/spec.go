package home

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"text/template"

	"testudo/internal/config"
)

// Spec says what the node of a new home is. Empty fields get what is said here.
type Spec struct {
	Role    string // "master" or "worker"; must be given
	Name    string // of the node; must be given
	Cluster string // name of the cluster; "wazuh"
	Key     string // 32 letters and digits; a new one on a master, must be given on a worker
	Master  string // address of the master; must be given on a worker
	Port    int    // 1516
	Bind    string // where a master listens; "0.0.0.0"
	Metrics string // host:port of the metrics; "off" for none; empty leaves the built-in address

	EnrolPort int    // where agents enrol; 0 is 1515, -1 is nowhere
	EnrolBind string // the address of that; empty is all of the machine's
}

// ErrSpec is returned (wrapped) when a Spec describes no node that could start.
var ErrSpec = errors.New("home cannot be made as asked for")

// starterFile is a file of a new home.
type starterFile struct {
	path    string
	mode    fs.FileMode
	own     bool // as in directory
	content []byte
}

//go:embed starter
var starter embed.FS

// complete fills in what was left out. key is the one newly made, if one was.
func (s Spec) complete() (full Spec, key string, err error) {
	role := config.Role(s.Role)
	switch {
	case role != config.Master && role != config.Worker:
		return s, "", fmt.Errorf("%w: the role must be master or worker, not %q", ErrSpec, s.Role)
	case s.Name == "":
		return s, "", fmt.Errorf("%w: the node has no name", ErrSpec)
	case role == config.Worker && s.Key == "":
		return s, "", fmt.Errorf("%w: a worker needs the key of its master", ErrSpec)
	case role == config.Worker && s.Master == "":
		return s, "", fmt.Errorf("%w: a worker needs the address of its master", ErrSpec)
	}
	if s.Key == "" {
		if key, err = NewKey(); err != nil {
			return s, "", err
		}
		s.Key = key
	}
	if s.Cluster == "" {
		s.Cluster = "wazuh"
	}
	if s.Port == 0 {
		s.Port = 1516
	}
	if s.Bind == "" {
		s.Bind = "0.0.0.0"
	}
	if s.EnrolPort == 0 {
		s.EnrolPort = 1515
	}
	if s.Master == "" {
		s.Master = s.ownAddress()
	}
	return s, key, nil
}

// Enrols says whether agents enrol at the node.
func (s Spec) Enrols() bool { return s.EnrolPort > 0 }

// EnrolAt is the port that ossec.conf names, also where nobody enrols.
func (s Spec) EnrolAt() int {
	if s.EnrolPort == -1 {
		return 1515
	}
	return s.EnrolPort
}

// ownAddress is what a master's own list of nodes holds. It is not used, but
// must be there and must be no reserved one.
func (s Spec) ownAddress() string {
	addr, err := netip.ParseAddr(s.Bind)
	if err != nil || addr.IsUnspecified() || s.Bind == "127.0.1.1" {
		return "127.0.0.1"
	}
	return s.Bind
}

// files gives the files of the home, ossec.conf last. A Spec without a role
// stands for a home whose ossec.conf is there already.
func (s Spec) files() ([]starterFile, error) {
	var conf []byte
	if s.Role != "" {
		var err error
		if conf, err = s.conf(); err != nil {
			return nil, err
		}
	}
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	files := []starterFile{
		{config.OptionsPath, 0o640, false, nil},
		{config.LocalOptionsPath, 0o640, false, nil},
		{"etc/decoders/local_decoder.xml", 0o660, true, nil},
		{"etc/lists/backup-critical", 0o660, true, nil},
		{"etc/rules/local_rules.xml", 0o660, true, nil},
		{"etc/shared/default/agent.conf", 0o660, true, nil},
		{KeysPath, 0o640, true, []byte{}},
		{config.SettingsPath, 0o660, false, settings},
		{config.ConfPath, 0o660, false, conf},
	}
	for i := range files {
		if files[i].content != nil || files[i].path == config.ConfPath {
			continue
		}
		if files[i].content, err = starter.ReadFile("starter/" + path.Base(files[i].path)); err != nil {
			return nil, fmt.Errorf("read starter file: %w", err)
		}
	}
	return files, nil
}

// conf writes ossec.conf and reads it again: what comes back must be what was
// asked for, without even a warning.
func (s Spec) conf() ([]byte, error) {
	text, err := template.ParseFS(starter, "starter/ossec.conf.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read template of ossec.conf: %w", err)
	}
	var b bytes.Buffer
	if err := text.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("fill in template of ossec.conf: %w", err)
	}
	got, problems := config.CheckConf(config.ConfPath, bytes.NewReader(b.Bytes()))
	if len(problems) > 0 {
		p := problems[0]
		return nil, fmt.Errorf("%w: %s: %s", ErrSpec, p.Path, p.Text)
	}
	if got.Name != s.Cluster || got.NodeName != s.Name || string(got.Role) != s.Role || got.Key.Reveal() != s.Key ||
		got.Port != s.Port || got.BindAddr != s.Bind || !slices.Equal(got.Nodes, []string{s.Master}) {
		return nil, fmt.Errorf("%w: a name or an address holds characters that ossec.conf has no place for", ErrSpec)
	}
	return b.Bytes(), nil
}

func (s Spec) settings() ([]byte, error) {
	set := map[string]string{}
	switch s.Metrics {
	case "":
	case "off":
		set["metrics.address"] = `""`
	default:
		set["metrics.address"] = strconv.Quote(s.Metrics)
	}
	if s.EnrolBind != "" {
		set["enrolment.address"] = strconv.Quote(s.EnrolBind)
	}
	text := []byte(config.Reference(set))
	if _, problems := config.CheckSettings(config.SettingsPath, text); config.HasErrors(problems) {
		return nil, fmt.Errorf("%w: %s: %s", ErrSpec, problems[0].Path, problems[0].Text)
	}
	return text, nil
}
