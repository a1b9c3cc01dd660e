package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/health"
	"testudo/internal/keystore"
	"testudo/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is an agent database in memory that can be away.
type database struct {
	mu      sync.Mutex
	rows    map[agent.ID]NewAgent
	states  map[agent.ID]enrolment.Existing
	deleted []string // "ID NAME"
	away    error    // what everything answers
	inserts int
	gate    chan struct{} // when set, insertions wait for it
}

var errAway = errors.New("nobody answers")

func newDatabase() *database {
	return &database{rows: map[agent.ID]NewAgent{}, states: map[agent.ID]enrolment.Existing{}}
}

func (d *database) State(_ context.Context, id agent.ID) (enrolment.Existing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away != nil {
		return enrolment.Existing{}, d.away
	}
	return d.states[id], nil
}

func (d *database) Insert(ctx context.Context, a NewAgent) error {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inserts++
	if d.away != nil {
		return d.away
	}
	if _, taken := d.rows[a.ID]; taken {
		return fmt.Errorf("insert agent %v: %w", a.ID, ErrRefused)
	}
	d.rows[a.ID] = a
	d.states[a.ID] = enrolment.Existing{Known: true, Status: agent.NeverConnected, AddedAt: a.Added}
	return nil
}

func (d *database) Delete(_ context.Context, id agent.ID, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away != nil {
		return d.away
	}
	delete(d.rows, id)
	delete(d.states, id)
	d.deleted = append(d.deleted, id.String()+" "+name)
	return nil
}

func (d *database) set(away error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

// gone is what set was last told.
func (d *database) gone() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.away
}

// is says how an agent is.
func (d *database) is(id agent.ID, e enrolment.Existing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.Known = true
	d.states[id] = e
}

func (d *database) row(id agent.ID) (NewAgent, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, there := d.rows[id]
	return a, there
}

func (d *database) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.rows)
}

// world is a master with a home.
type world struct {
	*Master
	dir    string
	root   *os.Root
	keys   *keystore.Store
	db     *database
	log    *locked
	health *health.Board
	stop   func() // ends its tasks and its keys
}

// tweak is what a test wants otherwise.
type tweak func(*MasterConfig)

func purging(c *MasterConfig)       { c.Settings.Purge = true }
func keeping(c *MasterConfig)       { c.Settings.Force.Enabled = false }
func inCluster(c *MasterConfig)     { c.InCluster = true }
func room(n int) tweak              { return func(c *MasterConfig) { c.Waiting = n } }
func force(f enrolment.Force) tweak { return func(c *MasterConfig) { c.Settings.Force = f } }

// replaceAll is rules under which everybody makes room at once.
func replaceAll() enrolment.Force { return enrolment.Force{Enabled: true, KeyMismatch: true} }

const hostName = "manager-host"

func newWorld(t testing.TB, tweaks ...tweak) *world {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"etc/shared/default", "etc/shared/web", "queue/db", "queue/sockets", "var/run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return openWorld(t, dir, newDatabase(), tweaks...)
}

// openWorld starts a master over a home that is there.
func openWorld(t testing.TB, dir string, db *database, tweaks ...tweak) *world {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir, root: root, db: db, log: &locked{}, health: health.New()}
	cfg := MasterConfig{
		Agents: db, Home: root, HostName: hostName, Settings: enrolment.DefaultSettings(),
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Metrics: metrics.New("m", "master"), Health: w.health,
	}
	for _, f := range tweaks {
		f(&cfg)
	}
	if w.keys, err = keystore.Open(root, keystore.Options{NoSync: true, Purge: cfg.Settings.Purge, Look: -1}); err != nil {
		t.Fatal(err)
	}
	cfg.Keys = w.keys
	w.Master = NewMaster(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = w.keys.Run(ctx) })
	tasks.Go(func() { _ = w.Run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		tasks.Wait()
		_ = w.keys.Close()
		root.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// locked is a log that many write to.
type locked struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

var peer = netip.MustParseAddr("192.0.2.7")

// request parses what an agent sends.
func request(t testing.TB, line string) enrolment.Request {
	t.Helper()
	r, err := enrolment.ParseLine([]byte(line), peer, enrolment.LineOptions{Version: "4.7.5"})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return r
}

// enrols has an agent enrol and get its answer.
func (w *world) enrols(t testing.TB, line string) keystore.Entry {
	t.Helper()
	reg, err := w.Register(t.Context(), request(t, line), "192.0.2.7")
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	reg.Delivered()
	return reg.Entry
}

// refused has an agent enrol and gives the text of the refusal.
func (w *world) refused(t testing.TB, line string) string {
	t.Helper()
	reg, err := w.Register(t.Context(), request(t, line), "192.0.2.7")
	refusal, is := errors.AsType[*enrolment.Refusal](err)
	if !is {
		t.Fatalf("%s: %v, %v", line, reg, err)
	}
	return refusal.Text
}

// says asks the local socket.
func (w *world) says(t testing.TB, message string) string {
	t.Helper()
	return string(w.Answer(t.Context(), []byte(message)))
}

func line(name string, parts ...string) string {
	return "OSSEC A:'" + name + "' V:'v4.7.5'" + strings.Join(append([]string{""}, parts...), " ") + "\n"
}

// ago is a time in the past, as the database has it.
func ago(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

// liveKeys is the live lines of client.keys.
func (w *world) liveKeys(t testing.TB) map[string]keystore.Entry {
	t.Helper()
	all := map[string]keystore.Entry{}
	w.keys.Each(func(e keystore.Entry) bool {
		all[e.ID] = e
		return true
	})
	return all
}
