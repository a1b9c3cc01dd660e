package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/certificate"
	"testudo/internal/config"
	"testudo/internal/enrolport"
	"testudo/internal/home"
)

func TestCheckEnrolment(t *testing.T) {
	c := enrolling(t, "m", config.Master, 1600)
	_, used := taken(t)
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(c.Home, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	put("etc/other.key", "no key")
	for name, test := range map[string]struct {
		change func(*config.Config)
		want   string // file:line: severity: setting: the beginning of the text
	}{
		"all is well":        {func(*config.Config) {}, ""},
		"nobody enrols":      {func(c *config.Config) { c.Auth.Present, c.Auth.Port = false, used }, ""},
		"not from elsewhere": {func(c *config.Config) { c.Auth.RemoteEnrollment, c.Auth.Port = false, used }, ""},
		"no certificate":     {func(c *config.Config) { c.Auth.Certificate = "etc/no.cert" }, "etc/no.cert: error: auth.ssl_manager_cert: read certificate: open "},
		"no key":             {func(c *config.Config) { c.Auth.CertificateKey = "etc/no.key" }, "etc/no.key: error: auth.ssl_manager_key: read private key: open "},
		"a bad key":          {func(c *config.Config) { c.Auth.CertificateKey = "etc/other.key" }, "etc/other.key: error: auth.ssl_manager_key: read private key etc/other.key: no usable"},
		"a bad authority":    {func(c *config.Config) { c.Auth.AgentCA = "etc/other.key" }, "etc/other.key: error: auth.ssl_agent_ca: authority of agents' certificates: "},
		"no ciphers":         {func(c *config.Config) { c.Auth.Ciphers = "eNULL" }, "etc/ossec.conf: error: auth.ciphers: the list leaves"},
		"a password to make": {func(c *config.Config) { c.Auth.UsePassword = true }, ""},
		"a port in use":      {func(c *config.Config) { c.Auth.Port = used }, fmt.Sprintf("etc/ossec.conf: error: auth.port: enrolment port: 127.0.0.1:%d is in use by another program", used)},
		"another's address":  {func(c *config.Config) { c.Testudo.Enrolment.Address = "192.0.2.1" }, "etc/ossec.conf: error: enrolment.address: enrolment port: "},
		"password": {func(c *config.Config) {
			put(enrolport.PasswordPath, "\nsecret\n")
			c.Auth.UsePassword = true
		}, "etc/authd.pass:1: error: auth.use_password: read password for enrolment etc/authd.pass: the first line must be"},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(filepath.Join(c.Home, enrolport.PasswordPath))
			changed := *c
			test.change(&changed)
			problems := CheckEnrolment(t.Context(), &changed)
			got := ""
			if len(problems) > 0 {
				got = strings.TrimPrefix(problems[0].String(), c.Home+"/")
			}
			if len(problems) > 1 || !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("got %v, want %s", problems, test.want)
			}
			if test.want != "" && strings.Contains(fmt.Sprint(problems), "secret") {
				t.Error("the password is shown")
			}
		})
	}
	hold, err := home.Lock(c.Home)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Release()
	c.Auth.Port = used
	if problems := CheckEnrolment(t.Context(), c); len(problems) > 0 {
		t.Errorf("the port is that of the node that runs: %v", problems)
	}
}

// The line that names a file is told, where there is one.
func TestCheckEnrolment_Line(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o770); err != nil {
		t.Fatal(err)
	}
	conf := "<ossec_config>\n  <auth>\n    <ssl_manager_cert>etc/no.cert</ssl_manager_cert>\n  </auth>\n  <cluster><disabled>no</disabled><key>" +
		strings.Repeat("k", 32) + "</key><nodes><node>127.0.0.1</node></nodes></cluster>\n</ossec_config>\n"
	if err := os.WriteFile(filepath.Join(dir, "etc/ossec.conf"), []byte(conf), 0o640); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := certificate.Make(root, certificate.Place{UID: -1, GID: -1}, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(config.LoadOptions{Home: dir})
	if config.HasErrors(problems) {
		t.Fatal(problems)
	}
	cfg.Auth.Port = 0
	problems = CheckEnrolment(t.Context(), cfg)
	if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), filepath.Join(dir, "etc/ossec.conf")+":3: error: auth.ssl_manager_cert: ") {
		t.Error(problems)
	}
}
