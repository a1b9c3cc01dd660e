package doctor

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"testudo/internal/certificate"
	"testudo/internal/config"
	"testudo/internal/home"
)

// enrolling is a home at whose node agents enrol.
func enrolling(t *testing.T) *bed {
	return newHome(t, func(s *home.Spec) { s.EnrolPort, s.EnrolBind = freePort(t), "127.0.0.1" })
}

func TestExamine_Enrolment(t *testing.T) {
	const yes = "<use_password>yes</use_password>"
	tests := []struct {
		name         string
		change       func(b *bed)
		severity     Severity
		text, remedy string
	}{
		{"free port", func(*bed) {}, Fine, "enrolment port 127.0.0.1:", ""},
		{"certificate", func(*bed) {}, Fine, "is valid until ", ""},
		{"port taken", func(b *bed) { b.listen("tcp", fmt.Sprintf("127.0.0.1:%d", enrolPort(b))) }, Error, "taken by another program", "services.enrolment: external"},
		{"no certificate", func(b *bed) { b.remove(certificate.DefaultCertificate) }, Error, "the node does not start without", "testudo init --force"},
		{"another one's key", func(b *bed) {
			b.remove(certificate.DefaultCertificate)
			b.write(certificate.DefaultKey, "nonsense")
		}, Error, "the node does not start without", "testudo init --force"},
		{"no authority of agents", func(b *bed) {
			b.edit(config.ConfPath, "<!-- <ssl_agent_ca>etc/rootCA.pem</ssl_agent_ca> -->", "<ssl_agent_ca>etc/rootCA.pem</ssl_agent_ca>")
		}, Error, "authority of agents", "ssl_agent_ca"},
		{"password to be made", func(b *bed) { b.edit(config.ConfPath, "<use_password>no</use_password>", yes) }, Fine, "makes a password", ""},
		{"password", func(b *bed) {
			b.edit(config.ConfPath, "<use_password>no</use_password>", yes)
			b.write(passwordPath, "secret\n")
		}, Fine, "Agents need the password", ""},
		{"no password", func(b *bed) {
			b.edit(config.ConfPath, "<use_password>no</use_password>", yes)
			b.write(passwordPath, "\n")
		}, Error, "is no password", "first line"},
		{"disabled", func(b *bed) {
			b.edit(config.ConfPath, "<disabled>no</disabled>\n\n    <!-- The port at", "<disabled>yes</disabled>\n\n    <!-- The port at")
		}, Fine, "do not enrol at this node", ""},
		{"local only", func(b *bed) {
			b.edit(config.ConfPath, "<remote_enrollment>yes", "<remote_enrollment>no")
		}, Fine, "from elsewhere", ""},
		{"another program that is away", external, Warning, "another program's", "embedded"},
		{"another program", func(b *bed) {
			external(b)
			b.listen("unix", b.path(authSocket))
		}, Fine, "answers at " + authSocket, ""},
		{"node without socket", func(b *bed) { b.serve(answers(asConfigured)) }, Error, "nobody answers at " + authSocket, "again"},
		{"node in the place of the original's daemon", func(b *bed) {
			b.serve(answers(asConfigured))
			lock, err := home.LockAs(b.dir, home.Daemon)
			if err != nil {
				b.t.Fatal(err)
			}
			b.t.Cleanup(func() { _ = lock.Release() })
		}, Warning, "another program's", "Start it if"},
		{"node with socket", func(b *bed) {
			b.serve(answers(asConfigured))
			b.listen("unix", b.path(authSocket))
		}, Fine, "Enrolment answers", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := enrolling(t)
			test.change(b)
			r := Examine(t.Context(), b.dir)
			wants(t, r, "enrolment", test.severity, test.text, test.remedy)
			if strings.Contains(all(r), "secret") {
				t.Error("the password is shown")
			}
		})
	}
}

func external(b *bed) {
	b.edit(config.SettingsPath, "services:\n", "services:\n  enrolment: external\n")
}

func enrolPort(b *bed) int {
	c, _ := config.Load(config.LoadOptions{Home: b.dir})
	return c.Auth.Port
}

func (b *bed) remove(name string) {
	b.t.Helper()
	if err := os.Remove(b.path(name)); err != nil {
		b.t.Fatal(err)
	}
}

func TestExamine_EnrolmentFilesOfEverybody(t *testing.T) {
	b := enrolling(t)
	b.chmod(certificate.DefaultKey, 0o644)
	b.write(passwordPath, "secret\n")
	b.chmod(passwordPath, 0o644)
	r := Examine(t.Context(), b.dir)
	wants(t, r, "files", Warning, "Everybody may read etc/sslmanager.key", "chmod o-r")
	wants(t, r, "files", Warning, "Everybody may read etc/authd.pass", "chmod o-r")
}

func TestCertificate_Times(t *testing.T) {
	b := enrolling(t)
	now := time.Now()
	for _, test := range []struct {
		at       time.Time
		severity Severity
		text     string
	}{
		{now, Fine, "is valid until"}, {now.AddDate(10, 0, 1), Warning, "has expired on"},
		{now.AddDate(10, 0, -7), Warning, "expires on"}, {now.AddDate(-1, 0, 0), Warning, "is not valid before"},
	} {
		x := exam{Report: Report{Home: b.dir}}
		x.cfg, _ = config.Load(config.LoadOptions{Home: b.dir})
		x.certificate(test.at)
		if len(x.Findings) != 1 || x.Findings[0].Severity != test.severity || !strings.Contains(x.Findings[0].Text, test.text) {
			t.Errorf("%v: %+v", test.at, x.Findings)
		}
	}
}

// The port of a home without an address of its own is all of the machine's.
func TestExamine_EnrolmentAtAllAddresses(t *testing.T) {
	b := newHome(t, func(s *home.Spec) { s.EnrolPort = freePort(t) })
	wants(t, Examine(t.Context(), b.dir), "enrolment", Fine, net.JoinHostPort("0.0.0.0", fmt.Sprint(enrolPort(b))), "")
}
