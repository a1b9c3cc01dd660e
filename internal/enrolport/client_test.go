package enrolport

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
)

var web01 = enrolment.Request{Name: "web-01", Version: "v4.7.5", Groups: []string{"default", "web"}}

func TestEnrol(t *testing.T) {
	p := open(t, func(c *Config) { c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("top secret") })
	key, err := Enrol(t.Context(), ClientConfig{
		Address: p.address(), CA: filepath.Join(p.home, "etc/sslmanager.cert"),
		Request: web01, Password: agent.NewSecret("top secret"),
	})
	if err != nil || key.ID != 7 || key.Name != "web-01" || key.Address != "any" || key.Secret.Reveal() != aKey {
		t.Errorf("%+v, %v", key, err)
	}
	p.desk.wait(t, "delivered web-01")
	if got := p.desk.seen(); len(got) != 1 || !slices.Equal(got[0].Groups, web01.Groups) || p.desk.from[0] != "127.0.0.1" {
		t.Errorf("%+v from %v", got, p.desk.from)
	}
}

func TestEnrol_LongRequest(t *testing.T) {
	p := open(t)
	r := enrolment.Request{Name: "web-01", Version: "v4.7.5"}
	for i := range 120 {
		r.Groups = append(r.Groups, strings.Repeat("g", 200)+string(rune('a'+i%26))+strings.Repeat("h", i%50))
	}
	if _, err := Enrol(t.Context(), ClientConfig{Address: p.address(), Request: r}); err != nil {
		t.Fatal(err)
	}
	if got := p.desk.seen(); len(got[0].Groups) != len(r.Groups) {
		t.Errorf("%d groups arrived", len(got[0].Groups))
	}
}

func TestEnrol_Refused(t *testing.T) {
	p := open(t)
	p.desk.deciding(func(context.Context, enrolment.Request) error { return enrolment.DuplicateName("web\x1b01") })
	_, err := Enrol(t.Context(), ClientConfig{Address: p.address(), Request: web01})
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || !slices.Equal(refused.Texts, []string{"Duplicate agent name: web\x1b01", "Unable to add agent"}) ||
		refused.Reason() != "Duplicate agent name: web\x1b01" {
		t.Fatalf("%v", err)
	}
	if strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}

func TestEnrol_Servers(t *testing.T) {
	p := open(t)
	_, port, _ := net.SplitHostPort(p.address())
	stranger := newAuthority(t)
	ca := filepath.Join(p.home, "etc/sslmanager.cert")
	for _, tt := range []struct {
		cfg  ClientConfig
		want string
	}{
		{ClientConfig{Address: p.address(), CA: ca, Request: web01}, ""},
		{ClientConfig{Address: "localhost:" + port, CA: ca, Request: web01}, ""},
		{ClientConfig{Address: p.address(), CA: stranger.file, Request: web01}, "unknown authority"},
		{ClientConfig{Address: "ip6-unknown.invalid:" + port, Request: web01}, "enrol at ip6-unknown.invalid"},
		{ClientConfig{Address: p.address(), CA: "absent", Request: web01}, "authority of the server"},
		{ClientConfig{Address: p.address(), Certificate: "absent", Request: web01}, "read certificate"},
		{ClientConfig{Request: web01}, "is no address"},
		{ClientConfig{Address: p.address(), Request: enrolment.Request{Name: "web 01"}}, "Invalid agent name"},
	} {
		_, err := Enrol(t.Context(), tt.cfg)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v", tt.cfg, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
}

// A server hears of it when an agent does not like its certificate, in TLS 1.3
// after the handshake.
func TestEnrol_StrangerIsReported(t *testing.T) {
	p := open(t)
	if _, err := Enrol(t.Context(), ClientConfig{Address: p.address(), CA: newAuthority(t).file, Request: web01}); err == nil {
		t.Error("no error")
	}
	p.waitFor(t, func(s Stats) bool { return s.Open == 0 })
	if s := p.Stats(); s.NoTLS != 1 || s.Requests != 0 {
		t.Errorf("%+v", s)
	}
}

func TestEnrol_OtherHost(t *testing.T) {
	a := newAuthority(t)
	for name, tt := range map[string]struct {
		template x509.Certificate
		ok       bool
	}{
		"address":     {x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, true},
		"common name": {x509.Certificate{Subject: pkix.Name{CommonName: "127.0.0.1"}}, true},
		"other":       {x509.Certificate{Subject: pkix.Name{CommonName: "m"}, DNSNames: []string{"manager"}}, false},
	} {
		cert, key := a.issue(t, name, &tt.template)
		p := open(t, func(c *Config) { c.Certificate, c.Key = cert, key })
		_, err := Enrol(t.Context(), ClientConfig{Address: p.address(), CA: a.file, Request: web01})
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, errOtherHost) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), `for "manager", not for 127.0.0.1`) {
			t.Errorf("%s: %v", name, err)
		}
		p.stop()
	}
}

func TestEnrol_ServerThatSaysNothing(t *testing.T) {
	p := open(t, func(c *Config) { c.Grace = time.Millisecond })
	p.desk.deciding(func(ctx context.Context, _ enrolment.Request) error {
		<-ctx.Done()
		return ctx.Err()
	})
	_, err := Enrol(t.Context(), ClientConfig{Address: p.address(), Request: web01, Timeout: 100 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestReadReply(t *testing.T) {
	key := accepted("web-01", "any")
	for _, tt := range []struct {
		records []string
		want    string
		err     string
	}{
		{[]string{key}, key, ""},
		{[]string{"ERROR: first", key}, key, ""},
		{[]string{key[:20], key[20:]}, key, ""},
		{[]string{"ERROR: a", "ERROR: b"}, "", "the server refuses: a; b"},
		{[]string{"hello", "ERROR: b"}, "", "the server refuses: b"},
		{[]string{"hello"}, "", ErrNoAnswer.Error()},
		{nil, "", ErrNoAnswer.Error()},
		{[]string{key[:20]}, "", ErrNoAnswer.Error()},
		{slices.Repeat([]string{"ERROR: " + strings.Repeat("x", 16000)}, 10), "", "says too much"},
	} {
		p := &pieces{end: io.EOF}
		for _, r := range tt.records {
			p.list = append(p.list, []byte(r))
		}
		got, err := readReply(p)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%.40q: %q, %v", tt.records, got, err)
		}
	}
}

func TestSplitAddress(t *testing.T) {
	for text, want := range map[string][2]string{
		"m.example":      {"m.example", "1515"},
		"m.example:1":    {"m.example", "1"},
		"192.0.2.1":      {"192.0.2.1", "1515"},
		"2001:db8::1":    {"2001:db8::1", "1515"},
		"[2001:db8::1]":  {"2001:db8::1", "1515"},
		"[2001:db8::1]:": {"2001:db8::1", "1515"},
		"[::1]:77":       {"::1", "77"},
	} {
		if host, port := splitAddress(text); host != want[0] || port != want[1] {
			t.Errorf("%s: %s, %s", text, host, port)
		}
	}
}
