package keyhistory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/keystore"
	"testudo/internal/registrar"
)

// errAway is what a question meets that does not reach its end.
var errAway = errors.New("away")

// chance is rand.Rand for many goroutines.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

// in says whether it happens, in percent of the times.
func (c *chance) in(percent int) bool { return c.below(100) < percent }

func (c *chance) below(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// nap waits for a random time.
func (c *chance) nap(most time.Duration) { time.Sleep(time.Duration(c.below(int(most)))) } //nolint:forbidigo // time stands still here

// rows is a database of agents that is away now and then.
type rows struct {
	*chance
	failing atomic.Int32 // percent of the changes
	mu      sync.Mutex
	agents  map[agent.ID]registrar.NewAgent
}

func (r *rows) try(f func()) error {
	if r.in(int(r.failing.Load())) {
		return errAway
	}
	r.mu.Lock()
	f()
	r.mu.Unlock()
	if r.in(int(r.failing.Load())) {
		return errAway // it was done, but nobody heard of it
	}
	return nil
}

// State always answers: who is in the way of a database that does not stays, and
// the newcomer has to come again.
func (r *rows) State(_ context.Context, id agent.ID) (enrolment.Existing, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.agents[id]
	return enrolment.Existing{Known: ok, Status: agent.NeverConnected, AddedAt: a.Added}, nil
}

func (r *rows) Insert(_ context.Context, a registrar.NewAgent) error {
	return r.try(func() { r.agents[a.ID] = a })
}

func (r *rows) Delete(_ context.Context, id agent.ID, _ string) error {
	return r.try(func() { delete(r.agents, id) })
}

// entries is what the database has in the end.
func (r *rows) entries() []Entry {
	all := []Entry{}
	for _, id := range slices.Sorted(maps.Keys(r.agents)) {
		a := r.agents[id]
		all = append(all, Entry{fmt.Sprintf("%03d", id), a.Name, a.RegisterIP, a.Key.Reveal()})
	}
	return all
}

// process is one life of a master.
type process struct {
	*registrar.Master
	store      *keystore.Store
	root       *os.Root
	life       context.Context //nolint:containedctx // it is the life
	end        context.CancelFunc
	endRunning context.CancelFunc
	runs       sync.WaitGroup // of the store and the master
	calls      sync.WaitGroup // under way
}

// site is a master with its workers, in one process and without a network.
type site struct {
	t *testing.T
	*chance
	*History
	rows     *rows
	settings enrolment.Settings
	cuts     int // percent of the questions of workers that fail
	slow     time.Duration
	dir      string
	lives    int

	mu      sync.RWMutex
	master  *process
	workers []*workerLife
}

type workerLife struct {
	*registrar.Worker
	end  context.CancelFunc
	runs sync.WaitGroup
}

func newSite(t *testing.T, seed uint64) *site {
	c := &chance{r: rand.New(rand.NewPCG(seed, 7))}
	s := &site{
		t: t, chance: c, settings: enrolment.DefaultSettings(), rows: &rows{chance: c, agents: map[agent.ID]registrar.NewAgent{}},
		dir: filepath.Join(t.TempDir(), "0"), slow: time.Duration(1+c.below(5000)) * time.Millisecond,
	}
	s.settings.Purge = c.in(50)
	s.History = &History{Master: "m", KeepsRemoved: !s.settings.Purge, Grace: 2 * time.Second}
	if c.in(50) {
		s.rows.failing.Store(10)
	}
	if c.in(60) {
		s.cuts = 10
	}
	for _, d := range []string{"etc/shared/default", "queue/db", "var/run"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	s.master = s.newMaster()
	for range 2 {
		s.workers = append(s.workers, s.newWorker())
	}
	return s
}

func (s *site) newMaster() *process {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{root: root}
	if p.store, err = keystore.Open(root, keystore.Options{Purge: s.settings.Purge, NoSync: true}); err != nil {
		s.t.Fatal(err)
	}
	p.life, p.end = context.WithCancel(s.t.Context())
	running, endRunning := context.WithCancel(s.t.Context())
	p.endRunning = endRunning
	p.Master = registrar.NewMaster(registrar.MasterConfig{
		Keys: p.store, Agents: s.rows, Home: root, HostName: "manager", Settings: s.settings, InCluster: true,
	})
	p.runs.Go(func() { s.check(p.Run(running)) })
	p.runs.Go(func() { s.check(p.store.Run(running)) })
	return p
}

func (s *site) check(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.t.Error(err)
	}
}

// restart ends the master and starts it again; killed, it has not closed its
// store, and was about to write.
func (s *site) restart(killed bool) {
	defer s.Disturb("m")()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(killed)
	s.master = s.newMaster()
}

func (s *site) stop(killed bool) {
	p := s.master
	p.end()
	p.calls.Wait()
	if killed {
		before := s.dir
		s.lives++
		s.dir = filepath.Join(filepath.Dir(s.dir), fmt.Sprint(s.lives))
		s.check(os.CopyFS(s.dir, os.DirFS(before)))
		s.tear()
	}
	p.endRunning()
	p.runs.Wait()
	s.check(p.store.Close())
	s.check(p.root.Close())
}

// tear leaves, mostly, a part of a line at the end of client.keys, and gives the
// file the time that it is here.
func (s *site) tear() {
	path := filepath.Join(s.dir, "etc/client.keys")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	s.check(err)
	mark, _ := os.ReadFile(filepath.Join(s.dir, "queue/db/testudo-keys"))
	if strings.Contains(string(mark), `"open":true`) { // else it does not write
		const half = "9999 torn any 0123456789abcdef"
		_, err = f.WriteString(half[:s.below(len(half))])
	}
	s.check(errors.Join(err, f.Close(), os.Chtimes(path, time.Now(), time.Now())))
}

// use calls f with the master of this moment; lost says that it died meanwhile.
func (s *site) use(f func(p *process)) (lost bool) {
	s.mu.RLock()
	p := s.master
	if p.life.Err() != nil {
		s.mu.RUnlock()
		return true
	}
	p.calls.Add(1)
	s.mu.RUnlock()
	defer p.calls.Done()
	f(p)
	return p.life.Err() != nil
}

// answer asks the master's socket.
func (s *site) answer(message []byte) (answer []byte, err error) {
	if s.use(func(p *process) { answer = p.Answer(p.life, message) }) {
		return nil, errAway
	}
	return answer, nil
}

// newWorker starts a worker, whose way to the master is not the best.
func (s *site) newWorker() *workerLife {
	life, end := context.WithCancel(s.t.Context())
	w := &workerLife{end: end}
	w.Worker = registrar.NewWorker(registrar.WorkerConfig{Ask: s.ask, PeerHas: func(string) bool { return true }})
	w.runs.Go(func() { s.check(w.Run(life)) })
	return w
}

func (s *site) ask(ctx context.Context, _ string, request []byte) ([]byte, error) {
	var envelope struct{ Message json.RawMessage }
	if err := json.Unmarshal(request, &envelope); err != nil {
		s.t.Error(err)
	}
	s.nap(100 * time.Millisecond)
	if s.in(s.cuts) {
		s.Disturb("m")()
		return nil, errAway
	}
	over := s.Disturb("way")
	answer, err := s.answer(envelope.Message)
	if s.in(s.cuts) {
		s.nap(s.slow)
	} else {
		s.nap(100 * time.Millisecond)
	}
	over()
	if err == nil && s.in(s.cuts) || ctx.Err() != nil {
		s.Disturb("m")()
		return nil, errAway
	}
	return answer, err
}
