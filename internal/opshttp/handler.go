package opshttp

import (
	"encoding/json"
	"io"
	"net"
	"net/http"

	"testudo/internal/health"
)

// Report is the JSON of /healthz and /readyz.
type Report struct {
	Status     string             `json:"status"` // "ok", or the worst severity
	Ready      bool               `json:"ready"`
	Conditions []health.Condition `json:"conditions"`
}

const index = `/metrics  figures for Prometheus
/healthz  200, or 503 while a critical condition is up; the conditions as JSON
/readyz   200 once the node is ready, else 503; the same JSON
/status   what the node is doing, as JSON
`

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, index) // who asked may have gone
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.report()
		s.answer(w, r, r.Status != health.Critical.String())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.report()
		s.answer(w, r, r.Ready)
	})
	if s.deps.Status != nil {
		mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
			s.answer(w, s.deps.Status(), true)
		})
	}
	if s.deps.Metrics != nil {
		mux.Handle("GET /metrics", s.deps.Metrics)
	}
	return s.guard(mux)
}

// guard refuses requests that a web page made a browser send here: these ask
// for this machine by the page's own name.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if !s.remote && !isLoopback(hostOf(r.Host)) {
			http.Error(w, "ask by a loopback address or localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf takes the port, and the brackets of an IPv6 address, off a Host header.
func hostOf(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return host
	}
	if n := len(header); n > 2 && header[0] == '[' && header[n-1] == ']' {
		return header[1 : n-1]
	}
	return header
}

func (s *Server) report() Report {
	r := Report{Status: "ok", Ready: true, Conditions: s.deps.Health.All()}
	if r.Conditions == nil {
		r.Conditions = []health.Condition{}
	}
	if len(r.Conditions) > 0 {
		r.Status = r.Conditions[0].Severity.String() // the worst comes first
	}
	if s.deps.Ready != nil {
		r.Ready = s.deps.Ready()
	}
	return r
}

// answer writes v as JSON, with status 503 when all is not good.
func (s *Server) answer(w http.ResponseWriter, v any, good bool) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.deps.Log.Error("Could not write the status.", "err", err)
		http.Error(w, "the status cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(body, '\n')) // who asked may have gone
}
