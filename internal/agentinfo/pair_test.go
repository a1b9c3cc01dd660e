package agentinfo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

func (l *lines) want(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if l.count(text) == 0 {
			t.Errorf("the log has no %q:\n%s", text, l)
		}
	}
}

// end is one end of a connection, with the commands and the work that offer
// gives it.
type end struct {
	*session.Session
	log  *lines
	mux  *session.Mux
	work func(context.Context)
}

func newEnd(offer func(*session.Session, *session.Mux) func(context.Context)) func(*end) {
	return func(e *end) { e.work = offer(e.Session, e.mux) }
}

// connect joins a master's end and a worker's. A plain pair does not introduce
// itself.
func connect(t *testing.T, plain bool, limits session.Limits, asMaster, asWorker func(*end)) (master, worker *end, stop func()) {
	t.Helper()
	return connectAs(t, "w1", plain, limits, asMaster, asWorker)
}

func connectAs(t *testing.T, name string, plain bool, limits session.Limits, asMaster, asWorker func(*end)) (master, worker *end, stop func()) {
	t.Helper()
	key, err := wire.NewKey("0123456789abcdef0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	near, far := memnet.Pipe()
	hello := session.Hello{Name: name, Cluster: "wazuh", Type: "worker", Version: "4.7.5"}
	ends := []*end{{log: &lines{}, mux: session.NewMux()}, {log: &lines{}, mux: session.NewMux()}}
	ends[0].Session = session.New(near, session.Config{Key: key, Limits: limits})
	ends[1].Session = session.New(far, session.Config{Key: key, Limits: limits})
	asMaster(ends[0])
	asWorker(ends[1])
	var running sync.WaitGroup
	for _, e := range ends {
		e.Establish(hello, e.mux, e.log.logger())
		running.Go(func() { _ = e.Run(context.Background()) })
	}
	if !plain {
		if err := ends[1].Introduce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range ends {
		if e.work != nil {
			e.Go(e.work)
		}
	}
	stop = sync.OnceFunc(func() {
		ends[0].Close(nil)
		ends[1].Close(nil)
		running.Wait()
	})
	t.Cleanup(stop)
	return ends[0], ends[1], stop
}

func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// state is an agent in a fake database.
type state struct {
	ID      int    `json:"id"`
	Alive   int64  `json:"last_keepalive"`
	Comment string `json:"comment,omitempty"`
}

// source is a worker's database in memory.
type source struct {
	mu       sync.Mutex
	agents   map[int]state
	pending  map[int]int // version of what is to be sent
	version  int
	perChunk int
	err      error
	reported int
	read     []int // agents in each reading
	changed  chan struct{}
}

func newSource(n int) *source {
	s := &source{agents: map[int]state{}, pending: map[int]int{}, perChunk: 10, changed: make(chan struct{}, 1)}
	for id := 1; id <= n; id++ {
		s.set(state{ID: id, Alive: 1})
	}
	return s
}

func (s *source) set(a state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.agents[a.ID], s.pending[a.ID] = a, s.version
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *source) Changed() <-chan struct{} { return s.changed }

func (s *source) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

func (s *source) ReportAll(_ context.Context, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.reported++
	for id := range s.agents {
		s.version++
		s.pending[id] = s.version
	}
	if node != "w1" {
		return errors.New("another node")
	}
	return nil
}

func (s *source) PendingInfo(_ context.Context, most int) ([][]byte, bool, func(context.Context) error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, false, nil, s.err
	}
	ids := make([]int, 0, len(s.pending))
	for id := range s.pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	more := len(ids) > most
	ids = ids[:min(len(ids), most)]
	if len(ids) > 0 {
		s.read = append(s.read, len(ids))
	}
	versions := make(map[int]int)
	var list [][]byte
	for some := range slices.Chunk(ids, s.perChunk) {
		rows := make([]state, 0, len(some))
		for _, id := range some {
			rows = append(rows, s.agents[id])
			versions[id] = s.pending[id]
		}
		chunk, err := json.Marshal(rows)
		if err != nil {
			return nil, false, nil, err
		}
		list = append(list, chunk)
	}
	return list, more, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, v := range versions {
			if s.pending[id] == v {
				delete(s.pending, id)
			}
		}
		return nil
	}, nil
}

// sink is a master's database in memory.
type sink struct {
	mu     sync.Mutex
	agents map[int]state
	stored int
	bad    func(state) error // an agent that cannot be stored
	slow   time.Duration
}

func newSink() *sink { return &sink{agents: map[int]state{}} }

func (s *sink) SetSyncInfo(ctx context.Context, list []byte) error {
	if s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var rows []state
	if err := json.Unmarshal(list, &rows); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range rows {
		if s.bad != nil {
			if err := s.bad(a); err != nil {
				return err
			}
		}
		s.agents[a.ID] = a
		s.stored++
	}
	return nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.agents)
}

func (s *sink) has(t *testing.T, src *source) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	src.mu.Lock()
	defer src.mu.Unlock()
	for id, a := range src.agents {
		if s.agents[id] != a {
			t.Errorf("agent %d is %+v, want %+v", id, s.agents[id], a)
		}
	}
}

// quiet passes time, at the end of which everything has come to rest.
func quiet(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func name(plain bool) string { return map[bool]string{true: "4.7.5", false: "Testudo"}[plain] }

var errDisk = fmt.Errorf("disk I/O error")
