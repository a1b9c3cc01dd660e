package enrolport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/logging"
)

// dial opens a connection that says nothing by itself.
func (p *port) dial(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// hold makes the registrar wait. inside tells that a request has come to it.
func (d *desk) hold(t testing.TB) (inside <-chan struct{}, release func()) {
	t.Helper()
	in, out := make(chan struct{}), make(chan struct{})
	d.deciding(func(context.Context, enrolment.Request) error {
		close(in)
		<-out
		return nil
	})
	release = sync.OnceFunc(func() { close(out) })
	t.Cleanup(release)
	return in, release
}

// knock opens a connection that the server closes at once; it may be gone before
// it is there.
func (p *port) knock(t testing.TB) {
	t.Helper()
	nc, err := net.Dial("tcp", p.address())
	if err != nil {
		return
	}
	defer nc.Close()
	if said := closed(t, nc); said != "" {
		t.Errorf("%q", said)
	}
}

// closed waits until the server has closed a connection and returns what it said.
func closed(t testing.TB, nc net.Conn) string {
	t.Helper()
	said, err := io.ReadAll(nc)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	return string(said)
}

func TestServer_SilentPeersAreClosedWithoutAnAnswer(t *testing.T) {
	p := open(t, func(c *Config) { c.HandshakeTime, c.ReadTime = 50*time.Millisecond, 50*time.Millisecond })
	if said := closed(t, p.dial(t)); said != "" {
		t.Errorf("before the handshake: %q", said)
	}
	slow := p.dial(t)
	slow.Write([]byte{recordHandshake, 3, 1})
	if said := closed(t, slow); said != "" {
		t.Errorf("within the handshake: %q", said)
	}
	c := p.secure(t)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if got := records(t, c); got != nil {
		t.Errorf("after the handshake: %q", got)
	}
	p.stop()
	if s := p.Stats(); s.Silent != 3 || s.NoTLS != 0 || s.Requests != 0 || s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

func TestServer_SlowWriterIsAnsweredWithWhatIsThere(t *testing.T) {
	p := open(t, func(c *Config) { c.ReadTime = 100 * time.Millisecond })
	c := p.secure(t)
	io.WriteString(c, "OSSEC A:'web-01' G:'we")
	if got := records(t, c); len(got) != 2 || got[0] != "ERROR: Unterminated group field" {
		t.Errorf("%q", got)
	}
}

func TestServer_Garbage(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) { c.Log = slog.New(logging.NewHandler(&book, slog.LevelInfo, false)) })
	const times = 200
	for i := range times {
		garbage := make([]byte, 300)
		rand.Read(garbage)
		garbage[0] = byte(i % 2 * recordHandshake)
		copy(garbage[1:], []byte{3, 1, 1, 0})
		nc := p.dial(t)
		nc.Write(garbage)
		nc.(*net.TCPConn).CloseWrite()
		closed(t, nc)
	}
	if got := p.ask(t, "OSSEC A:'web-01'\n"); got[0] != accepted("web-01", "any") {
		t.Errorf("%q", got)
	}
	p.stop()
	if s := p.Stats(); s.NoTLS != times || s.Keys != 1 {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(book.String(), "came to no handshake"); n != 1 {
		t.Errorf("%d lines about garbage", n)
	}
}

// Floods of refused requests leave a bounded number of lines.
func TestServer_FloodOfRefusals(t *testing.T) {
	var book logbook
	r := newReporter(slog.New(logging.NewHandler(&book, slog.LevelInfo, false)))
	for i := range 10_000 {
		r.requested(netAddr, fmt.Sprintf("agent-%d", i))
		r.refused(netAddr, "", enrolment.InvalidName(strings.Repeat("x", 1000)))
	}
	if n := strings.Count(book.String(), "\n"); n < linesAtOnce || n > 3*linesAtOnce {
		t.Errorf("%d lines", n)
	}
	if len(book.String()) > 3*linesAtOnce*600 {
		t.Errorf("%d bytes", len(book.String()))
	}
}

func TestServer_MostSilentMakesRoom(t *testing.T) {
	p := open(t, func(c *Config) { c.Connections = 3 })
	inside, release := p.desk.hold(t)
	asking := p.secure(t)
	io.WriteString(asking, "OSSEC A:'web-01'\n")
	<-inside // it is the oldest, but it is not the one who is waited for
	silent := p.dial(t)
	spoke := p.secure(t)
	if err := spoke.Handshake(); err != nil {
		t.Fatal(err)
	}
	late := p.secure(t)
	if err := late.Handshake(); err != nil {
		t.Fatal(err)
	}
	closed(t, silent)
	if s := p.Stats(); s.Evicted != 1 || s.Open != 3 {
		t.Errorf("%+v", s)
	}
	release()
	if got := records(t, asking); got[0] != accepted("web-01", "any") {
		t.Errorf("%q", got)
	}
	asking.Close()
	p.desk.wait(t, "delivered web-01")
}

func TestServer_NobodyMakesRoomWhoseKeyIsUnderWay(t *testing.T) {
	p := open(t, func(c *Config) { c.Connections = 1 })
	inside, release := p.desk.hold(t)
	asking := p.secure(t)
	io.WriteString(asking, "OSSEC A:'web-01'\n")
	<-inside
	p.knock(t)
	release()
	if got := records(t, asking); got[0] != accepted("web-01", "any") {
		t.Errorf("%q", got)
	}
}

func TestServer_AddressThatComesTooOften(t *testing.T) {
	p := open(t, func(c *Config) { c.Rate, c.Burst = 1e-9, 2 })
	for range 2 {
		if got := p.ask(t, "OSSEC A:'web-01'\n"); got[0] != accepted("web-01", "any") {
			t.Errorf("%q", got)
		}
	}
	p.knock(t)
	if s := p.Stats(); s.TooOften != 1 || s.Accepted != 2 {
		t.Errorf("%+v", s)
	}
}

// An agent that is gone when its key comes does not have it.
func TestServer_AgentThatWentIsToldOfAsLost(t *testing.T) {
	p := open(t)
	inside, release := p.desk.hold(t)
	c := p.secure(t)
	io.WriteString(c, "OSSEC A:'web-01'\n")
	<-inside
	c.NetConn().(*net.TCPConn).SetLinger(0)
	c.NetConn().Close() // a reset
	release()
	p.desk.wait(t, "lost web-01")
	p.stop()
	if s := p.Stats(); s.Lost != 1 || s.Keys != 0 {
		t.Errorf("%+v", s)
	}
}

// An agent that closed, and whose system refuses the answer, is not taken for one
// that has its key.
func TestServer_AgentThatClosedIsNotDelivered(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what has been acknowledged")
	}
	p := open(t)
	inside, release := p.desk.hold(t)
	c := p.secure(t)
	io.WriteString(c, "OSSEC A:'web-01'\n")
	<-inside
	c.NetConn().Close()
	release()
	p.stop()
	if s := p.Stats(); s.Unknown != 1 || s.Keys != 0 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	select {
	case e := <-p.desk.events:
		t.Error(e)
	default:
	}
}

// Agents close as soon as they have read the key; what they have not read makes
// their system reset the connection. They have their key all the same.
func TestServer_AgentThatResetsAfterTheKeyHasIt(t *testing.T) {
	p := open(t)
	for i := range 40 {
		c := p.secure(t)
		io.WriteString(c, "OSSEC A:'web-01'\n")
		b := make([]byte, 1000)
		if n, err := c.Read(b); err != nil || string(b[:n]) != accepted("web-01", "any") {
			t.Fatal(string(b[:n]), err)
		}
		if i%2 == 0 {
			c.NetConn().(*net.TCPConn).SetLinger(0)
		}
		c.NetConn().Close()
		p.desk.wait(t, "delivered web-01")
	}
}

// What a peer goes on to send does not take its answer away.
func TestServer_PeerThatGoesOn(t *testing.T) {
	p := open(t)
	c := p.secure(t)
	io.WriteString(c, "OSSEC A:'x'\n")
	io.WriteString(c, strings.Repeat("more ", 1000))
	if got := records(t, c); len(got) != 2 || got[1] != "ERROR: Unable to add agent" {
		t.Errorf("%q", got)
	}
}

func TestServer_StopsWhatWaitsAndLetsRegistrationsEnd(t *testing.T) {
	p := open(t, func(c *Config) { c.HandshakeTime, c.ReadTime, c.Grace = time.Hour, time.Hour, time.Hour })
	inside, release := p.desk.hold(t)
	silent := p.dial(t)
	shaken := p.secure(t)
	if err := shaken.Handshake(); err != nil {
		t.Fatal(err)
	}
	asking := p.secure(t)
	io.WriteString(asking, "OSSEC A:'web-01'\n")
	<-inside
	stopped := make(chan struct{})
	go func() {
		p.stop()
		close(stopped)
	}()
	closed(t, silent)
	if _, err := io.ReadAll(shaken); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	release()
	b := make([]byte, 1000)
	if n, err := asking.Read(b); err != nil || string(b[:n]) != accepted("web-01", "any") {
		t.Error(string(b[:n]), err)
	}
	<-stopped
	if _, err := net.Dial("tcp", p.address()); err == nil {
		t.Error("the port is still open")
	}
}

func TestServer_GraceEnds(t *testing.T) {
	p := open(t, func(c *Config) { c.Grace = time.Millisecond })
	inside := make(chan struct{})
	p.desk.deciding(func(ctx context.Context, _ enrolment.Request) error {
		close(inside)
		<-ctx.Done()
		return ctx.Err()
	})
	c := p.secure(t)
	io.WriteString(c, "OSSEC A:'web-01'\n")
	<-inside
	p.stop() // returns
}

func TestServer_RegistrarThatPanics(t *testing.T) {
	var book logbook
	p := open(t, func(c *Config) { c.Log = slog.New(logging.NewHandler(&book, slog.LevelInfo, false)) })
	p.desk.deciding(func(context.Context, enrolment.Request) error { panic("a mistake") })
	c := p.secure(t)
	io.WriteString(c, "OSSEC A:'web-01'\n")
	io.ReadAll(c)
	p.desk.deciding(nil)
	if got := p.ask(t, "OSSEC A:'web-01'\n"); got[0] != accepted("web-01", "any") {
		t.Errorf("%q", got)
	}
	if !strings.Contains(book.String(), "broke off. err=\"a mistake\" stack=") {
		t.Error(book.String())
	}
}

// Thousands of connections that say nothing cost little and keep nobody out.
func TestServer_IdleConnections(t *testing.T) {
	n := 2000
	if testing.Short() {
		n = 300
	}
	p := open(t, func(c *Config) { c.HandshakeTime, c.ReadTime = time.Hour, time.Hour })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		p.dial(t)
	}
	for range 10 {
		if got := p.ask(t, "OSSEC A:'web-01'\n"); got[0] != accepted("web-01", "any") {
			t.Errorf("%q", got)
		}
		p.desk.wait(t, "delivered web-01")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / int64(n); each > 16<<10 {
		t.Errorf("a silent connection costs %d bytes, both ends together", each)
	}
	if s := p.Stats(); s.Open < int64(n) {
		t.Errorf("%+v", s)
	}
}

func TestServer_ClientCertificates(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	here := func(c *tls.Certificate) func(*tls.Config) {
		return func(cfg *tls.Config) {
			if c != nil {
				cfg.Certificates = []tls.Certificate{*c}
			}
		}
	}
	p := open(t, func(c *Config) { c.ClientCA = a.file })
	strict := open(t, func(c *Config) { c.ClientCA, c.VerifyHost = a.file, true })
	for _, tt := range clientCertificates() {
		from := a
		if tt.stranger {
			from = stranger
		}
		var shown *tls.Certificate
		if tt.template != nil {
			certFile, keyFile := from.issue(t, tt.name, tt.template)
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				t.Fatal(err)
			}
			shown = &pair
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for at, want := range map[*port]bool{p: tt.ok, strict: tt.strict} {
				c := at.secure(t, here(shown), func(c *tls.Config) { c.MaxVersion = version })
				io.WriteString(c, "OSSEC A:'web-01'\n")
				said, _ := io.ReadAll(c)
				if (string(said) == accepted("web-01", "any")) != want || !want && len(said) > 0 {
					t.Errorf("%s, %s, host check %t: %q", tt.name, tls.VersionName(version), at == strict, said)
				}
				c.Close()
			}
		}
	}
}
