package enrolport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/enrolment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const aKey = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeeff"

// desk is a registrar that takes everybody, unless it is told otherwise.
type desk struct {
	mu       sync.Mutex
	decide   func(ctx context.Context, r enrolment.Request) error // may be nil
	requests []enrolment.Request
	from     []string
	events   chan string // what became of each key
}

func newDesk() *desk { return &desk{events: make(chan string, 10_000)} }

func (d *desk) Register(ctx context.Context, r enrolment.Request, from string) (Registration, error) {
	d.mu.Lock()
	d.requests = append(d.requests, r)
	d.from = append(d.from, from)
	decide := d.decide
	d.mu.Unlock()
	if decide != nil {
		if err := decide(ctx, r); err != nil {
			return nil, err
		}
	}
	return &pending{d, r}, nil
}

func (d *desk) deciding(decide func(ctx context.Context, r enrolment.Request) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decide = decide
}

func (d *desk) seen() []enrolment.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]enrolment.Request(nil), d.requests...)
}

type pending struct {
	desk *desk
	r    enrolment.Request
}

func (p *pending) Answer() []byte {
	return enrolment.Accepted("007", p.r.Name, p.r.Address, agent.NewSecret(aKey))
}
func (p *pending) Delivered()           { p.desk.events <- "delivered " + p.r.Name }
func (p *pending) Lost(context.Context) { p.desk.events <- "lost " + p.r.Name }

// port is a server that is served.
type port struct {
	*Server
	desk *desk
	home string
	stop func() // ends it and waits
}

func (p *port) address() string { return p.Addresses()[0] }

// open serves a port on the loopback.
func open(t testing.TB, change ...func(*Config)) *port {
	t.Helper()
	home := t.TempDir()
	makeCertificate(t, home)
	d := newDesk()
	cfg := Config{
		Addresses: []string{"127.0.0.1"}, Home: home, Registrar: d, Rate: -1, ReadTime: 10 * time.Second,
		Line: enrolment.LineOptions{Version: "4.7.5"},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, s, d, home)
}

func serve(t testing.TB, s *Server, d *desk, home string) *port {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	p := &port{Server: s, desk: d, home: home}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

func makeCertificate(t testing.TB, home string) {
	t.Helper()
	root, err := os.OpenRoot(home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.MkdirAll("etc", 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Make(root, certificate.Place{UID: -1, GID: -1}, "localhost", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
}

// secure connects with TLS, whoever the server is.
func (p *port) secure(t testing.TB, change ...func(*tls.Config)) *tls.Conn {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}
	for _, c := range change {
		c(cfg)
	}
	nc, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return tls.Client(nc, cfg)
}

// records is what the server says until it closes the connection.
func records(t testing.TB, c *tls.Conn) (list []string) {
	t.Helper()
	b := make([]byte, 20_000)
	for {
		n, err := c.Read(b)
		if n > 0 {
			list = append(list, string(b[:n]))
		}
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("after %q: %v", list, err)
		}
	}
}

// ask sends a request in one piece and returns the records of the answer.
func (p *port) ask(t testing.TB, line string) []string {
	t.Helper()
	c := p.secure(t)
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	got := records(t, c)
	c.Close()
	return got
}

func (d *desk) wait(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-d.events:
		if got != want {
			t.Errorf("the registrar heard %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the registrar did not hear %q", want)
	}
}

// waitFor waits until the counts are as they shall be: the server books a
// connection after its peer has heard of its end.
func (p *port) waitFor(t testing.TB, done func(Stats) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(p.Stats()); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%+v", p.Stats())
		}
	}
}

func accepted(name, address string) string {
	return "OSSEC K:'007 " + name + " " + address + " " + aKey + "'"
}

// authority makes certificates for tests.
type authority struct {
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "An authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	a.file, _ = a.issue(t, "ca", template)
	return a
}

// issue writes a certificate and its key and returns their paths.
func (a *authority) issue(t testing.TB, name string, template *x509.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		a.key = key
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile = writePEM(t, filepath.Join(a.dir, name+".cert"), "CERTIFICATE", der)
	return certFile, writePEM(t, filepath.Join(a.dir, name+".key"), "EC PRIVATE KEY", keyDER)
}

func writePEM(t testing.TB, file, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
