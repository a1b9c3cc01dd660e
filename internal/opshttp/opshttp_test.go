package opshttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/health"
	"testudo/internal/memnet"
	"testudo/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer(t *testing.T, deps Deps, options ...Option) *Server {
	t.Helper()
	s, err := New("127.0.0.1:0", deps, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get asks the handler, without a network.
func get(s *Server, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:9616"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	return w
}

func report(t *testing.T, w *httptest.ResponseRecorder) (r Report) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return r
}

func TestNew_OnlyLoopbackUnlessAllowed(t *testing.T) {
	for address, good := range map[string]bool{
		"127.0.0.1:9616": true, "127.9.9.9:1": true, "[::1]:9616": true, "localhost:9616": true, "[::ffff:127.0.0.1]:1": true,
		":9616": false, "0.0.0.0:9616": false, "[::]:9616": false, "10.0.0.1:9616": false, "node.example:9616": false, "localhost.example:1": false,
	} {
		_, err := New(address, Deps{})
		if good != (err == nil) || !good && !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := New(address, Deps{}, AllowRemote()); err != nil {
			t.Errorf("%s, allowed: %v", address, err)
		}
	}
	if _, err := New("127.0.0.1", Deps{}, AllowRemote()); err == nil {
		t.Error("an address without a port was taken")
	}
}

func TestServer_HealthAndReadiness(t *testing.T) {
	board := health.New()
	ready := false
	s := newServer(t, Deps{Health: board, Ready: func() bool { return ready }})
	expect := func(path string, code int, status string, conditions int) {
		t.Helper()
		w := get(s, path)
		r := report(t, w)
		if w.Code != code || r.Status != status || len(r.Conditions) != conditions || r.Ready != ready {
			t.Errorf("%s: %d %+v", path, w.Code, r)
		}
	}
	expect("/healthz", 200, "ok", 0)
	expect("/readyz", 503, "ok", 0)
	ready = true
	board.Raise("watch", health.Warning, "The watch is off.", "Raise the limit.")
	expect("/healthz", 200, "warning", 1)
	expect("/readyz", 200, "warning", 1)
	board.Raise("held-back", health.Critical, "Half of the files are gone.", "Bring them back.")
	expect("/healthz", 503, "critical", 2)
	expect("/readyz", 200, "critical", 2)
	board.Clear("held-back")
	expect("/healthz", 200, "warning", 1)
	if body := get(s, "/healthz").Body.String(); !strings.Contains(body, `"remedy": "Raise the limit."`) {
		t.Errorf("no remedy in %s", body)
	}
}

func TestServer_WithoutDeps(t *testing.T) {
	s := newServer(t, Deps{})
	for path, code := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/status": 404, "/metrics": 404, "/x": 404} {
		if w := get(s, path); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
	if w := get(s, "/healthz"); !strings.Contains(w.Body.String(), `"conditions": []`) {
		t.Errorf("got %s", w.Body)
	}
}

func TestServer_MetricsAndStatus(t *testing.T) {
	set := metrics.New("w1", "worker")
	status := any(map[string]int{"workers": 3})
	s := newServer(t, Deps{Metrics: set.Handler(), Status: func() any { return status }})
	if w := get(s, "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), `testudo_node_info{node="w1",role="worker"} 1`) {
		t.Errorf("metrics: %d", w.Code)
	}
	w := get(s, "/status")
	if want := "{\n  \"workers\": 3\n}\n"; w.Code != 200 || w.Body.String() != want {
		t.Errorf("status: %d %q", w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type") + " " + w.Header().Get("Cache-Control"); got != "application/json no-store" {
		t.Errorf("headers: %s", got)
	}
	status = math.NaN()
	if w := get(s, "/status"); w.Code != 500 {
		t.Errorf("status that is no JSON: %d", w.Code)
	}
}

func TestServer_Refusals(t *testing.T) {
	s := newServer(t, Deps{Status: func() any { return 1 }})
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for h, code := range map[string]int{
		"localhost:9616": 200, "127.0.0.1": 200, "[::1]:9616": 200, "[::1]": 200,
		"evil.example:9616": 403, "evil.example": 403, "10.0.0.1:9616": 403, "": 403, "[]": 403,
	} {
		if w := get(s, "/status", host(h)); w.Code != code {
			t.Errorf("asked as %q: %d, want %d", h, w.Code, code)
		}
	}
	if w := get(newServer(t, Deps{}, AllowRemote()), "/healthz", host("node.example")); w.Code != 200 {
		t.Errorf("allowed: %d", w.Code)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if w := get(s, "/status", func(r *http.Request) { r.Method = method }); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestServer_RunOverASocket(t *testing.T) {
	s := newServer(t, Deps{})
	l, err := s.Listen(t.Context())
	if err != nil {
		t.Skip("no loopback network here")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	taken, err := New(l.Addr().String(), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := taken.Run(t.Context()); err == nil {
		t.Error("an address that is taken is no error")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
}

// serve runs a server in the bubble of a synctest and gives a way to connect.
func serve(t *testing.T, deps Deps) (dial func() net.Conn, stop func() time.Duration) {
	t.Helper()
	network := memnet.New()
	l, err := network.Listen("127.0.0.1:9616")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := newServer(t, deps)
	go func() { ended <- s.Serve(ctx, l) }()
	dial = func() net.Conn {
		conn, err := network.Dial(t.Context(), "127.0.0.1:9616")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	return dial, func() time.Duration {
		start := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("end: %v", err)
		}
		return time.Since(start)
	}
}

func TestServer_SlowClientsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := serve(t, Deps{})
		conn := dial()
		defer conn.Close()
		start := time.Now()
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: local")
		_, _ = io.ReadAll(conn)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("a client that says half a request stays for %v", took)
		}
		stop()
	})
}

func TestServer_ConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := serve(t, Deps{})
		var conns []net.Conn
		for range maxConns + 1 {
			conns = append(conns, dial())
		}
		last := conns[maxConns]
		_, _ = io.WriteString(last, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
		_ = last.SetReadDeadline(time.Now().Add(time.Second))
		if n, _ := last.Read(make([]byte, 1)); n > 0 {
			t.Error("one connection too many was served")
		}
		conns[0].Close()
		_ = last.SetReadDeadline(time.Time{})
		if answer, err := io.ReadAll(last); err != nil || !strings.Contains(string(answer), "200 OK") {
			t.Errorf("a place that became free was not given: %q, %v", answer, err)
		}
		for _, c := range conns[1:] {
			c.Close()
		}
		stop()
	})
}

func TestServer_StopIsGracefulButShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		dial, stop := serve(t, Deps{Status: func() any { <-release; return "late" }})
		conn := dial()
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(release) })
		if took := stop(); took > grace {
			t.Errorf("stop took %v", took)
		}
		if answer, _ := io.ReadAll(conn); !strings.Contains(string(answer), `"late"`) {
			t.Errorf("the answer under way was cut off: %q", answer)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		dial, stop := serve(t, Deps{Status: func() any { <-release; return 0 }})
		conn := dial()
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
		synctest.Wait()
		if took := stop(); took < grace || took > grace+time.Second {
			t.Errorf("stop took %v, want %v", took, grace)
		}
		close(release)
	})
}
