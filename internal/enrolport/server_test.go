package enrolport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/logging"
	"testudo/internal/recording"
)

// Every answer that an agent can get (docs/enrolment.md §3, §4).
func TestServer_Answers(t *testing.T) {
	tests := []struct {
		line   string
		refuse error
		want   string
	}{
		{"OSSEC A:'web-01'\n", nil, accepted("web-01", "any")},
		{"OSSEC A:'web-01'", nil, accepted("web-01", "any")},
		{"OSSEC A:'web-01' V:'v4.7.5' G:'default,web' IP:'192.0.2.17' K:'9d8f'\n", nil, accepted("web-01", "192.0.2.17")},
		{"OSSEC A:'web-01' IP:'src'\n", nil, accepted("web-01", "127.0.0.1")},
		{"OSSEC A:'web-01' IP:'10.0.0.0/255.255.0.0'\n", nil, accepted("web-01", "10.0.0.0/255.255.0.0")},
		{"OSSEC A:'web-01' and more", nil, accepted("web-01", "any")},
		{"OSSEC A:'web-01' G:'" + strings.Repeat("a", 200) + strings.Repeat(","+strings.Repeat("b", 200), 100) + "'\n", nil, accepted("web-01", "any")},

		{"", nil, ""},
		{"GET / HTTP/1.1\r\n\r\n", nil, "Invalid request for new agent"},
		{"x", nil, "Invalid request for new agent"},
		{" OSSEC A:'web-01'\n", nil, "Invalid request for new agent"},
		{"OSSEC PASS: secret OSSEC A:'web-01'\n", nil, "Invalid request for new agent"},
		{"OSSEC A:'web-01\n", nil, "Invalid request for new agent"},
		{"OSSEC A:'x'\n", nil, "Invalid agent name: x"},
		{"OSSEC A:'web 01'\n", nil, "Invalid agent name: web 01"},
		{"OSSEC A:'web-01' V:'v4\n", nil, "Unterminated version field"},
		{"OSSEC A:'web-01' V:'v4.8'\n", nil, "Agent version must be lower or equal to manager version"},
		{"OSSEC A:'web-01' G:'web\n", nil, "Unterminated group field"},
		{"OSSEC A:'web-01' G:'a,,b'\n", nil, "Invalid group name: a,,b... consecutive ',' are not allowed"},
		{"OSSEC A:'web-01' IP:'10.0.0.1\n", nil, "Unterminated IP field"},
		{"OSSEC A:'web-01' IP:'10.0.0'\n", nil, "Invalid IP: 10.0.0"},
		{"OSSEC A:'web-01' K:'12\n", nil, "Unterminated key field"},

		{"OSSEC A:'web-01'\n", enrolment.TooManyGroups(), "Maximum multigroup reached: Limit is 128"},
		{"OSSEC A:'web-01'\n", enrolment.UnknownGroup("web"), "Invalid group: web"},
		{"OSSEC A:'web-01'\n", enrolment.DuplicateAddress("10.0.0.1"), "Duplicate IP: 10.0.0.1"},
		{"OSSEC A:'web-01'\n", enrolment.DuplicateName("web-01"), "Duplicate agent name: web-01"},
		{"OSSEC A:'web-01'\n", fmt.Errorf("wrapped: %w", enrolment.DuplicateName("web-01")), "Duplicate agent name: web-01"},
		{"OSSEC A:'web-01'\n", enrolment.InternalError("web-01"), "Internal manager error adding agent: web-01"},
		{"OSSEC A:'web-01'\n", errors.New("the disk is on fire"), "Internal manager error adding agent: web-01"},
		{"OSSEC A:'web-01'\n", enrolment.NoMaster(), "Cannot comunicate with master"},
		{"OSSEC A:'web-01'\n", enrolment.NotUnderstood(), "Invalid message format"},
		{"OSSEC A:'web-01'\n", enrolment.Refused(enrolment.CodeNameUsed), "Duplicate name"},
	}
	p := open(t, func(c *Config) { c.ReadTime = 200 * time.Millisecond })
	for _, tt := range tests {
		p.desk.deciding(func(context.Context, enrolment.Request) error { return tt.refuse })
		want := []string{tt.want}
		switch {
		case tt.want == "":
			want = nil
		case !strings.HasPrefix(tt.want, "OSSEC"):
			want = []string{"ERROR: " + tt.want, "ERROR: Unable to add agent"}
		}
		if d := cmp.Diff(want, p.ask(t, tt.line)); d != "" {
			t.Errorf("%.80q, refused with %v: %s", tt.line, tt.refuse, d)
		}
		if len(want) == 1 {
			p.desk.wait(t, "delivered web-01")
		}
	}
	s := p.Stats()
	if s.Keys != 7 || s.Silent != 1 || s.Refused != int64(len(tests))-8 || s.Requests != int64(len(tests))-1 {
		t.Errorf("%+v", s)
	}
}

func TestServer_Password(t *testing.T) {
	p := open(t, func(c *Config) {
		c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("top secret")
	})
	for line, want := range map[string]string{
		"OSSEC PASS: top secret OSSEC A:'web-01'\n":  accepted("web-01", "any"),
		"OSSEC PASS: top secret  OSSEC A:'web-01'\n": "ERROR: Invalid request for new agent",
		"OSSEC PASS: top secre OSSEC A:'web-01'\n":   "ERROR: Invalid password",
		"OSSEC PASS: Top secret OSSEC A:'web-01'\n":  "ERROR: Invalid password",
		"OSSEC A:'web-01'\n":                         "ERROR: Invalid password",
	} {
		if got := p.ask(t, line); len(got) == 0 || got[0] != want {
			t.Errorf("%q is answered %q, want %q", line, got, want)
		}
	}
}

// What the original's agents sent, recorded.
func TestServer_Recorded(t *testing.T) {
	type exchange struct{ Request string }
	recorded := recording.Lines[exchange](t, "golden/enrol/agent-auth-requests.jsonl")
	p := open(t)
	secret := open(t, func(c *Config) { c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("secret") })
	for _, x := range recorded {
		at := p
		if strings.HasPrefix(x.Request, "OSSEC PASS: ") {
			at = secret
		}
		if got := at.ask(t, x.Request); len(got) != 1 || !strings.HasPrefix(got[0], "OSSEC K:'007 rec") {
			t.Errorf("%q: %q", x.Request, got)
		}
	}
	if n := len(p.desk.seen()) + len(secret.desk.seen()); n < 5 {
		t.Errorf("only %d requests", n)
	}
}

func TestServer_PutsPiecesTogether(t *testing.T) {
	p := open(t)
	const line = "OSSEC A:'web-01' V:'v4.7.5' G:'default,web' IP:'src'\n"
	for _, size := range []int{1, 7, 16, 30} {
		c := p.secure(t)
		for piece := range slices.Chunk([]byte(line), size) {
			if _, err := c.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if got := records(t, c); !slices.Equal(got, []string{accepted("web-01", "127.0.0.1")}) {
			t.Errorf("pieces of %d: %q", size, got)
		}
		c.Close()
		p.desk.wait(t, "delivered web-01")
	}
	for _, r := range p.desk.seen() {
		if !slices.Equal(r.Groups, []string{"default", "web"}) || r.Version != "v4.7.5" {
			t.Errorf("%+v", r)
		}
	}
}

// Whoever ends its half of the connection still gets its answer.
func TestServer_PeerThatSaysItWasAll(t *testing.T) {
	p := open(t)
	for _, wholly := range []bool{false, true} {
		c := p.secure(t)
		io.WriteString(c, "OSSEC A:'web-01'")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if wholly {
			if err := c.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if got := records(t, c); !slices.Equal(got, []string{accepted("web-01", "any")}) {
			t.Errorf("%q", got)
		}
		c.Close()
		p.desk.wait(t, "delivered web-01")
	}
}

func TestServer_Versions(t *testing.T) {
	p := open(t)
	old := open(t, func(c *Config) { c.AutoNegotiate = true })
	for _, tt := range []struct {
		at      *port
		version uint16
		ok      bool
	}{
		{p, tls.VersionTLS13, true}, {p, tls.VersionTLS12, true}, {p, tls.VersionTLS11, false}, {p, tls.VersionTLS10, false},
		{old, tls.VersionTLS13, true}, {old, tls.VersionTLS12, true}, {old, tls.VersionTLS11, true}, {old, tls.VersionTLS10, true},
	} {
		c := tt.at.secure(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tt.version, tt.version })
		err := c.Handshake()
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v, want %t", tls.VersionName(tt.version), err, tt.ok)
		}
		if err == nil {
			io.WriteString(c, "OSSEC A:'web-01'\n")
			if got := strings.Join(records(t, c), ""); got != accepted("web-01", "any") { // TLS 1.0 cuts records
				t.Errorf("%s: %q", tls.VersionName(tt.version), got)
			}
		}
		c.Close()
	}
}

func TestServer_IPv6(t *testing.T) {
	if ln, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here")
	} else {
		ln.Close()
	}
	p := open(t, func(c *Config) { c.Addresses, c.IPv6 = nil, true })
	_, port, _ := net.SplitHostPort(p.address())
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "::1": "0000:0000:0000:0000:0000:0000:0000:0001",
	} {
		key, err := Enrol(t.Context(), ClientConfig{
			Address: net.JoinHostPort(host, port), Request: enrolment.Request{Name: "web-01", Address: enrolment.AddressOfPeer},
		})
		if err != nil || key.Address != want {
			t.Errorf("%s: %v, %v", host, key, err)
		}
	}
	if d := cmp.Diff(2, len(p.desk.from)); d != "" {
		t.Error(d)
	}
}

func TestListen_Refusals(t *testing.T) {
	home := t.TempDir()
	makeCertificate(t, home)
	other := t.TempDir()
	makeCertificate(t, other)
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	noPEM := filepath.Join(home, "no.pem")
	if err := os.WriteFile(noPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"no such file":             func(c *Config) { c.Certificate = "etc/absent.cert" },
		"read private key":         func(c *Config) { c.Key = "etc/absent.key" },
		"no certificate in PEM":    func(c *Config) { c.Certificate = noPEM },
		"no usable private key":    func(c *Config) { c.Key = noPEM },
		"do not belong together":   func(c *Config) { c.Key = filepath.Join(other, "etc/sslmanager.key") },
		"is in use":                func(c *Config) { c.Port = busy.Addr().(*net.TCPAddr).Port },
		"leaves no cipher":         func(c *Config) { c.Ciphers = "HIGH:!ALL" },
		"is no address":            func(c *Config) { c.Addresses = []string{"localhost"} },
		"authority of agents' cer": func(c *Config) { c.ClientCA = "etc/absent.pem" },
	} {
		cfg := Config{Addresses: []string{"127.0.0.1"}, Home: home}
		change(&cfg)
		s, err := Listen(t.Context(), cfg)
		if err == nil {
			s.Close()
			t.Errorf("nothing is wrong where it should say %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestServer_Log(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) {
		c.Log = slog.New(logging.NewHandler(&book, slog.LevelInfo, false))
		c.Ciphers = "HIGH:NONSENSE"
		c.Line.WantPassword, c.Line.Password = true, agent.NewSecret("hunter22")
	})
	p.ask(t, "OSSEC PASS: hunter22 OSSEC A:'web-01'\n")
	p.ask(t, "OSSEC PASS: hunter23 OSSEC A:'web-01'\n")
	p.ask(t, "OSSEC PASS: hunter22 OSSEC A:'a\x1b[31m'\n")
	p.stop()
	text := book.String()
	for _, want := range []string{
		"INFO: [Cluster] [Enrolment] Accepting connections on port ", "Using password specified on file: etc/authd.pass",
		"Received request for a new agent (web-01) from: 127.0.0.1",
		`WARNING: [Cluster] [Enrolment] Refused a request for a new agent. address=127.0.0.1 why="Invalid password"`,
		"words=NONSENSE",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, secret := range []string{"hunter22", "hunter23", aKey, "\x1b"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q in\n%s", secret, text)
		}
	}
}
