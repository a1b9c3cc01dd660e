package enrolport

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/enrolment"
)

// rested has the server find what has changed, and that it rests.
func (p *port) rested() {
	p.look()
	p.look()
}

func TestServer_CertificateIsRenewed(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&book, nil)) })
	cert, key := filepath.Join(p.home, certificate.DefaultCertificate), filepath.Join(p.home, certificate.DefaultKey)
	before := p.Stats().Certificate
	enrols := func(want string) {
		t.Helper()
		_, err := Enrol(t.Context(), ClientConfig{Address: p.address(), CA: cert, Request: enrolment.Request{Name: "web-01", Version: "v4.7.5"}})
		if err != nil {
			t.Error(err)
		}
		if got := p.Stats().Certificate; got != want {
			t.Errorf("the certificate is %s, want %s", got, want)
		}
	}
	enrols(before)

	// Another pair, of which the certificate comes first.
	other := t.TempDir()
	makeCertificate(t, other)
	for _, name := range []string{certificate.DefaultCertificate, certificate.DefaultKey} {
		text, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(filepath.Join(p.home, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(p.home, name+".old"), old, 0o600)
		}
		if err = errors.Join(err, os.WriteFile(filepath.Join(p.home, name), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		p.look()
		if p.Stats().Certificate != before {
			t.Error("it is read while it is being changed")
		}
		if name == certificate.DefaultCertificate {
			p.look()
			if !strings.Contains(book.String(), "The new certificate of the enrolment port cannot be used; the one before stays in use.") {
				t.Error(book.String())
			}
		}
	}
	p.look()
	info, err := certificate.ReadInfo(p.home, certificate.DefaultCertificate)
	if err != nil || info.Fingerprint == before {
		t.Fatal(info, err)
	}
	enrols(info.Fingerprint)

	// One that is gone stays in use; who has put it back hears so.
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	p.rested()
	enrols(info.Fingerprint)
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	p.rested()
	if !strings.Contains(book.String(), "The certificate of the enrolment port can be used again.") {
		t.Error(book.String())
	}
}

func TestServer_PasswordIsRenewed(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&book, nil))
		c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("first")
	})
	gets := func(password string) bool {
		t.Helper()
		_, err := Enrol(t.Context(), ClientConfig{
			Address: p.address(), CA: filepath.Join(p.home, certificate.DefaultCertificate), Password: agent.NewSecret(password),
			Request: enrolment.Request{Name: "web-01", Version: "v4.7.5"},
		})
		if _, refused := errors.AsType[*RefusedError](err); err != nil && !refused {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, step := range []struct{ text, good, bad string }{
		{"second\n", "second", "first"},
		{"\n", "second", ""},
		{"third\n", "third", "second"},
	} {
		if err := os.WriteFile(filepath.Join(p.home, PasswordPath), []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.rested()
		if !gets(step.good) || step.bad != "" && gets(step.bad) {
			t.Errorf("after %q: the password is not %q", step.text, step.good)
		}
	}
	if log := book.String(); !strings.Contains(log, "The new password of the enrolment port cannot be used") || strings.Contains(log, "second") || strings.Contains(log, "third") {
		t.Error(log)
	}
}

// A pipe in the place of a file keeps nobody waiting: the one before stays in use.
func TestServer_PipeInPlaceOfAFile(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&book, nil))
		c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("first")
	})
	if err := os.Remove(filepath.Join(p.home, certificate.DefaultKey)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{certificate.DefaultKey, PasswordPath} {
		if err := syscall.Mkfifo(filepath.Join(p.home, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	looked := make(chan struct{})
	go func() {
		p.rested()
		close(looked)
	}()
	select {
	case <-looked:
	case <-time.After(5 * time.Second):
		t.Error("the look waits for a pipe")
		for _, name := range []string{certificate.DefaultKey, PasswordPath} {
			pipe := filepath.Join(p.home, name)
			end, err := os.OpenFile(pipe, os.O_RDWR, 0)
			if err = errors.Join(err, os.Remove(pipe), end.Close()); err != nil { // the look goes on
				t.Error(err)
			}
		}
		<-looked
		return
	}
	for _, name := range []string{certificate.DefaultKey, PasswordPath} {
		if want := name + ": no regular file"; !strings.Contains(book.String(), want) {
			t.Errorf("nobody hears %q: %s", want, book.String())
		}
	}
}

// A password whose file is gone stays in use, and nobody says that it was read; who
// puts the file back hears so.
func TestServer_PasswordIsGone(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&book, nil))
		c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("first")
	})
	file := filepath.Join(p.home, PasswordPath)
	if err := os.WriteFile(file, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.rested()
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	p.rested()
	p.rested()
	const read, gone, back = "was read anew", "The file of the password for enrolment is gone", "can be used again"
	counts := func(want string) {
		t.Helper()
		var got []string
		for _, text := range []string{read, gone, back} {
			got = append(got, strconv.Itoa(strings.Count(book.String(), text)))
		}
		if strings.Join(got, " ") != want || p.shown.Load().password.Reveal() != "second" {
			t.Errorf("read anew, gone, back: %v, want %s: %s", got, want, book.String())
		}
	}
	counts("1 1 0")
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	p.rested()
	counts("1 1 1")
}
