package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/certificate"
	"testudo/internal/config"
	"testudo/internal/manifest"
	"testudo/internal/ossecxml"
)

const goodKey = "0123456789abcdefghijklmnopqrstuv"

func masterSpec() Spec { return Spec{Role: "master", Name: "m1"} }

func workerSpec() Spec {
	return Spec{Role: "worker", Name: "w1", Key: goodKey, Master: "192.0.2.1"}
}

// modes gives every path below dir with its permission bits, directories with a
// slash.
func modes(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if e.IsDir() {
			rel += "/"
		}
		found[rel] = info.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInit_CompleteHome(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // modes must not depend on it
	dir := filepath.Join(t.TempDir(), "new", "home")
	report, err := Init(dir, masterSpec(), false)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{
		"./": 0o750, "backup/": 0o750, "backup/db/": 0o750, "bin/": 0o750, "etc/": 0o770,
		"etc/decoders/": 0o770, "etc/lists/": 0o770, "etc/rules/": 0o770,
		"etc/shared/": 0o770, "etc/shared/default/": 0o770,
		"logs/": 0o770, "logs/cluster/": 0o750,
		"queue/": 0o750, "queue/cluster/": 0o770, "queue/db/": 0o770,
		"queue/diff/": 0o750, "queue/rids/": 0o770, "queue/sockets/": 0o770,
		"ruleset/": 0o750, "ruleset/decoders/": 0o750, "ruleset/rules/": 0o750,
		"var/": 0o750, "var/multigroups/": 0o770, "var/run/": 0o770,
		"etc/client.keys": 0o640, "etc/ossec.conf": 0o660, "etc/testudo.yaml": 0o660,
		"etc/internal_options.conf": 0o640, "etc/local_internal_options.conf": 0o640,
		"etc/decoders/local_decoder.xml": 0o660, "etc/lists/backup-critical": 0o660,
		"etc/rules/local_rules.xml": 0o660, "etc/shared/default/agent.conf": 0o660,
		"etc/sslmanager.cert": 0o640, "etc/sslmanager.key": 0o640,
	}
	if diff := cmp.Diff(want, modes(t, dir)); diff != "" {
		t.Errorf("home (-want +got):\n%s", diff)
	}
	created := map[string]bool{}
	for _, name := range report.Created {
		created[name] = true
	}
	for name := range want {
		if !created[name] {
			t.Errorf("%s is not reported", name)
		}
	}
	if len(report.Created) != len(want) || report.Kept != nil {
		t.Errorf("report: %+v", report)
	}
	own := currentOwner()
	for name, mine := range map[string]bool{".": false, "queue": false, "queue/db": true, config.ConfPath: false, KeysPath: true} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		uid, gid := own.ids(mine)
		if s := info.Sys().(*syscall.Stat_t); gid >= 0 && (int(s.Uid) != uid || int(s.Gid) != gid) {
			t.Errorf("%s belongs to %d:%d, want %d:%d", name, s.Uid, s.Gid, uid, gid)
		}
	}
	if keys, err := os.ReadFile(filepath.Join(dir, KeysPath)); err != nil || len(keys) != 0 {
		t.Errorf("client.keys holds %q, %v", keys, err)
	}
}

func TestInit_WhatItWritesLoads(t *testing.T) {
	tests := []struct {
		name string
		spec Spec
		want config.Cluster
	}{
		{"master, nothing else said", masterSpec(), config.Cluster{
			Name: "wazuh", NodeName: "m1", Role: config.Master, Port: 1516, BindAddr: "0.0.0.0", Nodes: []string{"127.0.0.1"},
		}},
		{"master on one address", Spec{Role: "master", Name: "m1", Bind: "192.0.2.7", Port: 1600, Cluster: "prod"}, config.Cluster{
			Name: "prod", NodeName: "m1", Role: config.Master, Port: 1600, BindAddr: "192.0.2.7", Nodes: []string{"192.0.2.7"},
		}},
		{"master on all of IPv6", Spec{Role: "master", Name: "m1", Bind: "::", Key: goodKey}, config.Cluster{
			Name: "wazuh", NodeName: "m1", Role: config.Master, Port: 1516, BindAddr: "::", Nodes: []string{"127.0.0.1"}, Key: goodKey,
		}},
		{"worker", workerSpec(), config.Cluster{
			Name: "wazuh", NodeName: "w1", Role: config.Worker, Port: 1516, BindAddr: "0.0.0.0", Nodes: []string{"192.0.2.1"}, Key: goodKey,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			report, err := Init(dir, test.spec, false)
			if err != nil {
				t.Fatal(err)
			}
			c, problems := config.Load(config.LoadOptions{Home: dir})
			if len(problems) > 0 {
				t.Errorf("problems of the new home: %v", problems)
			}
			want := test.want
			want.Present, want.Hidden, want.Extra = true, "no", map[string]string{}
			if test.spec.Key == "" {
				want.Key = config.Secret(report.Key)
				if len(report.Key) != 32 {
					t.Errorf("new key has %d characters", len(report.Key))
				}
			} else if report.Key != "" {
				t.Error("a key that was given is reported as new")
			}
			if diff := cmp.Diff(want, c.Cluster); diff != "" {
				t.Errorf("section (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(config.Default("").Testudo, c.Testudo); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInit_Metrics(t *testing.T) {
	for given, want := range map[string]string{"": "127.0.0.1:9616", "off": "", "127.0.0.1:7001": "127.0.0.1:7001"} {
		dir := t.TempDir()
		spec := masterSpec()
		spec.Metrics = given
		if _, err := Init(dir, spec, false); err != nil {
			t.Fatal(err)
		}
		c, _ := config.Load(config.LoadOptions{Home: dir})
		if c.Testudo.Metrics.Address != want {
			t.Errorf("metrics %q: got %q, want %q", given, c.Testudo.Metrics.Address, want)
		}
	}
}

func TestInit_Enrolment(t *testing.T) {
	for given, want := range map[int]int{0: 1515, 7001: 7001, -1: 0} {
		dir := t.TempDir()
		spec := masterSpec()
		spec.EnrolPort, spec.Bind = given, "192.0.2.7"
		report, err := Init(dir, spec, false)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := config.Load(config.LoadOptions{Home: dir})
		if c.EnrolmentEmbedded() != (want > 0) || want > 0 && c.Auth.Port != want || len(problems) > 0 {
			t.Errorf("port %d: %+v, %v", given, c.Auth, problems)
		}
		wantAuth := config.Default("").Auth
		wantAuth.Present, wantAuth.Purge = true, true // as in the shipped configuration of the original
		wantAuth.Disabled, wantAuth.Port = c.Auth.Disabled, c.Auth.Port
		if diff := cmp.Diff(wantAuth, c.Auth); diff != "" {
			t.Errorf("the starter says other than the defaults (-want +got):\n%s", diff)
		}
		if _, err := certificate.ReadPair(dir, c.Auth.Certificate, c.Auth.CertificateKey); err != nil {
			t.Error(err)
		}
		info, err := certificate.ReadInfo(dir, c.Auth.Certificate)
		if err != nil || info.Fingerprint != report.Fingerprint || !slices.Contains(info.Names, "m1") || !slices.Contains(info.Names, "192.0.2.7") {
			t.Errorf("%+v, %v; reported %s", info, err, report.Fingerprint)
		}
	}
}

// A home that somebody else made gets what its ossec.conf names, if that is in
// the home and not there.
func TestInit_CertificateOfAnExistingHome(t *testing.T) {
	const cluster = "<ossec_config><cluster><key>" + goodKey + "</key><nodes><node>192.0.2.1</node></nodes></cluster>"
	tests := []struct {
		name, auth string
		there      []string // before
		created    []string
		kept       int
	}{
		{"default", "<auth/>", nil, []string{"etc/sslmanager.cert", "etc/sslmanager.key"}, 0},
		{"disabled", "<auth><disabled>yes</disabled></auth>", nil, []string{"etc/sslmanager.cert", "etc/sslmanager.key"}, 0},
		{"other names", "<auth><ssl_manager_cert>etc/a</ssl_manager_cert><ssl_manager_key>etc/b</ssl_manager_key></auth>", nil, []string{"etc/a", "etc/b"}, 0},
		{"elsewhere", "<auth><ssl_manager_cert>/nowhere/a</ssl_manager_cert></auth>", nil, nil, 0},
		{"no section", "", nil, nil, 0},
		{"there is one", "<auth/>", []string{"etc/sslmanager.cert", "etc/sslmanager.key"}, nil, 2},
		{"there is a certificate without a key", "<auth/>", []string{"etc/sslmanager.cert"}, nil, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "etc"), 0o750); err != nil {
				t.Fatal(err)
			}
			for _, name := range append(test.there, config.ConfPath) {
				content := "mine"
				if name == config.ConfPath {
					content = cluster + test.auth + "</ossec_config>"
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			report, err := Init(dir, Spec{}, true)
			if err != nil {
				t.Fatal(err)
			}
			var created []string
			for _, name := range report.Created {
				if strings.HasPrefix(name, "etc/ssl") || name == "etc/a" || name == "etc/b" {
					created = append(created, name)
				}
			}
			slices.Sort(created)
			if diff := cmp.Diff(test.created, created); diff != "" || len(report.Kept) != 1+test.kept || (report.Fingerprint != "") != (created != nil) {
				t.Errorf("%+v (-want +got):\n%s", report, diff)
			}
			for _, name := range test.there {
				if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != "mine" {
					t.Errorf("%s is now %q, %v", name, text, err)
				}
			}
		})
	}
}

func TestInit_Refused(t *testing.T) {
	with := func(s Spec, change func(s *Spec)) Spec { change(&s); return s }
	tests := []struct {
		name string
		spec Spec
		want string
	}{
		{"no role", Spec{Name: "x"}, "the role must be master or worker"},
		{"other role", Spec{Role: "client", Name: "x"}, "the role must be master or worker"},
		{"no name", Spec{Role: "master"}, "the node has no name"},
		{"worker without a key", with(workerSpec(), func(s *Spec) { s.Key = "" }), "a worker needs the key"},
		{"worker without a master", with(workerSpec(), func(s *Spec) { s.Master = "" }), "a worker needs the address"},
		{"bad key", with(workerSpec(), func(s *Spec) { s.Key = "short" }), "Key must be 32 characters long"},
		{"reserved master", with(workerSpec(), func(s *Spec) { s.Master = "localhost" }), "Invalid elements in node fields: localhost."},
		{"bad port", with(masterSpec(), func(s *Spec) { s.Port = 80 }), "Port must be higher than 1024"},
		{"enrolment at the port of the cluster", with(masterSpec(), func(s *Spec) { s.EnrolPort = 1516 }), "the port of the cluster as well"},
		{"enrolment at no port", with(masterSpec(), func(s *Spec) { s.EnrolPort = 70000 }), "auth.port: 70000"},
		{"negative port", with(masterSpec(), func(s *Spec) { s.Port = -1 }), "Cluster port must be an integer"},
		{"name with a blank", with(workerSpec(), func(s *Spec) { s.Name = "w 1" }), "cluster.node_name"},
		{"name a careful master refuses", with(workerSpec(), func(s *Spec) { s.Name = "w#1" }), "cluster.node_name"},
		{"worker called master", with(workerSpec(), func(s *Spec) { s.Name = "master" }), "cluster.node_name"},
		{"markup in a name", with(masterSpec(), func(s *Spec) { s.Cluster = "a&amp;b" }), "no place for"},
		{"options in a name", with(masterSpec(), func(s *Spec) { s.Cluster = "a</name><key>" + goodKey + "</key><name>b" }), "cluster."},
		{"bad bind address", with(masterSpec(), func(s *Spec) { s.Bind = "no where" }), "cluster.bind_addr"},
		{"bad metrics address", with(masterSpec(), func(s *Spec) { s.Metrics = "here" }), "metrics.address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "home")
			_, err := Init(dir, test.spec, false)
			if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrSpec with %q", err, test.want)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was made: %v", err)
			}
		})
	}
}

func TestInit_NeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	first, err := Init(dir, masterSpec(), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, masterSpec(), false); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("second time: got %v, want ErrNotEmpty", err)
	}

	rules := filepath.Join(dir, "etc/rules/local_rules.xml")
	if err := os.WriteFile(rules, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(rules, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"etc/testudo.yaml", "etc/shared/default", "queue/db"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	report, err := Init(dir, Spec{}, true)
	if err != nil {
		t.Fatal(err)
	}
	wantCreated := []string{"etc/shared/default/", "queue/db/", "etc/shared/default/agent.conf", "etc/testudo.yaml"}
	if diff := cmp.Diff(wantCreated, report.Created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if report.Key != "" || len(report.Kept) != 9 || report.Fingerprint != "" {
		t.Errorf("report: %+v", report)
	}
	if text, err := os.ReadFile(rules); err != nil || string(text) != "mine" {
		t.Errorf("own rules are now %q, %v", text, err)
	}
	now := modes(t, dir)
	if now["etc/rules/local_rules.xml"] != 0o600 || now["logs/"] != 0o700 {
		t.Error("modes of what was there have changed")
	}
	c, problems := config.Load(config.LoadOptions{Home: dir})
	if len(problems) > 0 || c.Cluster.Key.Reveal() != first.Key {
		t.Errorf("configuration has changed: %v", problems)
	}
}

func TestInit_StrangersDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, masterSpec(), false); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v, want ErrNotEmpty", err)
	}
	if _, err := Init(dir, masterSpec(), true); err != nil {
		t.Errorf("with force: %v", err)
	}
	if _, err := Init(filepath.Join(dir, "letter"), masterSpec(), true); err == nil {
		t.Error("a file passes for a home")
	}
}

func TestInit_LinksLeadNowhereElse(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, masterSpec(), true); err == nil {
		t.Error("made a home through a link that leads out of it")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func TestInit_StarterFilesAreSynchronisedAndWellFormed(t *testing.T) {
	files, err := Spec{}.files()
	if err != nil {
		t.Fatal(err)
	}
	items, synchronised := manifest.DefaultItems(), 0
	for _, f := range files {
		if _, err := items.Match(f.path); err == nil {
			synchronised++
		}
		if strings.HasSuffix(f.path, ".xml") || strings.HasSuffix(f.path, "agent.conf") {
			roots, err := ossecxml.Parse(strings.NewReader(string(f.content)), ossecxml.Limits{})
			if err != nil || len(roots) == 0 {
				t.Errorf("%s: %d roots, %v", f.path, len(roots), err)
			}
		}
	}
	if synchronised != 5 {
		t.Errorf("%d starter files are synchronised, want 5", synchronised)
	}
}

func TestNewKey(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]bool{}
	for range 100 {
		key, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		if len(key) != 32 || seen[key] || strings.Trim(key, keyLetters) != "" {
			t.Fatalf("key %q", key)
		}
		seen[key] = true
		for _, r := range key {
			letters[r] = true
		}
	}
	if len(letters) != len(keyLetters) {
		t.Errorf("only %d of %d letters occur in 3200", len(letters), len(keyLetters))
	}
}
