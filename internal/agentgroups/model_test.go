package agentgroups

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentinfo"
	"testudo/internal/cluster"
	"testudo/internal/faultnet"
	"testudo/internal/memnet"
	"testudo/internal/pairtest"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// life is what is known of an agent's connection.
type life struct {
	ID    agent.ID `json:"id"`
	Node  string   `json:"node_name"`
	Alive int64    `json:"last_keepalive"` // nanoseconds here: all differ
}

// heard is what the master's database has of all agents' lives.
type heard struct {
	mu    sync.Mutex
	lives map[agent.ID]life
}

func (h *heard) SetSyncInfo(_ context.Context, list []byte) error {
	var rows []life
	if err := json.Unmarshal(list, &rows); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range rows {
		if old, known := h.lives[l.ID]; known && old.Alive < l.Alive {
			h.lives[l.ID] = l
		}
	}
	return nil
}

// hears is the same in a worker's database.
type hears struct {
	master *heard
	lost   []string // changes that were confirmed and are not there

	mu      sync.Mutex
	lives   map[agent.ID]life
	pending pairtest.Pending[agent.ID]
}

func (h *hears) set(l life) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lives[l.ID] = l
	h.pending.Change(l.ID)
}

func (h *hears) remove(id agent.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lives, id)
	h.pending.Remove(id)
}

func (h *hears) ReportAll(context.Context, string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.lives {
		h.pending.Change(id)
	}
	return nil
}

func (h *hears) PendingInfo(_ context.Context, most int) ([][]byte, bool, func(context.Context) error, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := h.pending.Keys()
	more := len(ids) > most
	ids = ids[:min(len(ids), most)]
	arrived := h.pending.Take(ids)
	var list [][]byte
	for some := range slices.Chunk(ids, 2) {
		var rows []life
		for _, id := range some {
			rows = append(rows, h.lives[id])
		}
		chunk, err := json.Marshal(rows)
		if err != nil {
			return nil, false, nil, err
		}
		list = append(list, chunk)
	}
	return list, more, func(context.Context) error { h.confirm(arrived); return nil }, nil
}

func (h *hears) confirm(arrived func() []agent.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.master.mu.Lock()
	defer h.master.mu.Unlock()
	for _, id := range arrived() {
		if has, known := h.master.lives[id]; known && has.Alive < h.lives[id].Alive {
			h.lost = append(h.lost, fmt.Sprintf("agent %s: %+v was confirmed, the master has %+v", id, h.lives[id], has))
		}
	}
}

// process is a node that runs, stops and runs again. Its databases stay.
type process struct {
	start  func(ctx context.Context, run func(func(context.Context) error))
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

func (p *process) up() {
	if p.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.start(ctx, func(task func(context.Context) error) {
		p.tasks.Go(func() { _ = task(ctx) })
	})
}

func (p *process) down() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.tasks.Wait()
	p.cancel = nil
}

// modelWorker is a worker of the model.
type modelWorker struct {
	process
	name   string
	plain  bool // speaks 4.7.5 only
	groups *sink
	lives  *hears
	faults *faultnet.Control
	lags   []func() // changes of its agents that it has not heard of yet
}

// model is a master and three workers with databases in memory.
type model struct {
	*rand.Rand
	t       *testing.T
	key     *wire.Key
	network *memnet.Network
	groups  *source
	lives   *heard
	master  process

	restarted bool // the master has been
	workers   []*modelWorker
	agents    []agent.ID
	last      agent.ID
}

func newModel(t *testing.T, seed uint64) *model {
	key, err := wire.NewKey("0123456789abcdef0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	m := &model{
		Rand: rand.New(rand.NewPCG(seed, 0)), t: t, key: key, network: memnet.New(),
		groups: newSource(), lives: &heard{lives: map[agent.ID]life{}},
	}
	early := time.Duration(m.IntN(2)) * time.Second
	m.master.start = func(_ context.Context, run func(func(context.Context) error)) {
		groups := NewMaster(MasterConfig{StartDelay: 5 * time.Second, Early: early}, m.groups)
		info := agentinfo.NewMaster(agentinfo.MasterConfig{}, m.lives)
		node := cluster.NewMaster(cluster.MasterConfig{
			NodeName: "boss", Cluster: "wazuh", Version: "4.7.5", Session: session.Config{Key: m.key},
			Limits: cluster.AdmissionLimits{Connections: 100, PerAddress: 100, StrangersPerAddress: 50},
			Log:    slog.New(slog.DiscardHandler),
		}, groups, info)
		listener, err := m.network.Listen("10.0.0.1:1516")
		if err != nil {
			t.Error(err)
			return
		}
		run(groups.Run)
		run(func(ctx context.Context) error { return node.Serve(ctx, listener) })
	}
	for i := range 3 {
		m.workers = append(m.workers, m.worker(fmt.Sprintf("w%d", i+1), m.IntN(2) == 0, early))
	}
	return m
}

func (m *model) worker(name string, plain bool, early time.Duration) *modelWorker {
	w := &modelWorker{
		name: name, plain: plain, groups: newSink(), faults: faultnet.New(),
		lives: &hears{master: m.lives, lives: map[agent.ID]life{}},
	}
	dial := w.faults.Dialer(m.network.Host("10.0.1." + name).DialContext)
	w.start = func(_ context.Context, run func(func(context.Context) error)) {
		node := cluster.NewWorker(cluster.WorkerConfig{
			Hello:  session.Hello{Name: name, Cluster: "wazuh", Type: "worker", Version: "4.7.5"},
			Master: "10.0.0.1", Port: 1516, Session: session.Config{Key: m.key}, MaxFailed: 2, Plain: plain,
			Dial: func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) },
			Log:  slog.New(slog.DiscardHandler),
		}, NewWorker(WorkerConfig{Mismatches: 3}, w.groups),
			agentinfo.NewWorker(agentinfo.WorkerConfig{Node: name, Agents: 5, Bytes: 200, Early: early}, w.lives))
		run(node.Run)
	}
	return w
}

func (m *model) anyWorker() *modelWorker { return m.workers[m.IntN(len(m.workers))] }

func (m *model) anyGroups() []string {
	all := []string{"default", "web", "db", "linux", "dmz"}
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:m.IntN(4)]
}

// step is one thing that happens.
func (m *model) step() {
	if len(m.agents) == 0 {
		m.enrol()
		return
	}
	id, w := m.agents[m.IntN(len(m.agents))], m.anyWorker()
	switch n := m.IntN(100); {
	case n < 20:
		m.enrol()
	case n < 45: // a keep-alive, here or there
		w.groups.mu.Lock()
		_, known := w.groups.groups[id]
		w.groups.mu.Unlock()
		if known {
			w.lives.set(life{id, w.name, time.Now().UnixNano() + m.Int64N(1000)})
		}
	case n < 70:
		m.groups.set(id, m.anyGroups()...)
	case n < 74:
		m.remove(id)
	case n < 77: // behind the master's back
		w.groups.mu.Lock()
		if _, known := w.groups.groups[id]; known {
			// Never a group of the master's: the checksum does not say which
			// agent has which groups, so that two exchanged ones look right.
			w.groups.groups[id] = []string{"odd"}
		}
		w.groups.mu.Unlock()
	case n < 85:
		w.faults.Inject(faultnet.Cut(faultnet.Direction(m.IntN(2)), m.Int64N(3000)))
	case n < 86:
		w.faults.Inject(faultnet.HalfOpen(faultnet.Write, m.Int64N(3000)))
	case n < 91:
		w.down()
	case n < 94:
		m.master.down()
		m.restarted = true
	default:
		m.heal()
	}
}

// enrol makes an agent known to the master, and later to the workers.
func (m *model) enrol() {
	m.last++
	id := m.last
	m.agents = append(m.agents, id)
	m.lives.mu.Lock()
	m.lives.lives[id] = life{ID: id}
	m.lives.mu.Unlock()
	m.groups.set(id, "default")
	for _, w := range m.workers {
		w.lags = append(w.lags, func() { w.groups.set(id) })
	}
}

func (m *model) remove(id agent.ID) {
	m.agents = slices.DeleteFunc(m.agents, func(other agent.ID) bool { return other == id })
	m.groups.remove(id)
	m.lives.mu.Lock()
	delete(m.lives.lives, id)
	m.lives.mu.Unlock()
	for _, w := range m.workers {
		w.lags = append(w.lags, func() { w.groups.remove(id); w.lives.remove(id) })
	}
}

// tell lets a worker hear of agents that came and went.
func (w *modelWorker) tell(n int) {
	for ; n > 0 && len(w.lags) > 0; n-- {
		w.lags[0]()
		w.lags = w.lags[1:]
	}
}

func (m *model) heal() {
	m.master.up()
	for _, w := range m.workers {
		w.up()
	}
}

// wrong says what is not as it should be once everything has come to rest.
func (m *model) wrong() (what []string) {
	for _, w := range m.workers {
		differs := w.groups.differs(m.groups)
		if m.restarted && w.plain && w.groups.checksum() == m.groups.checksum() {
			differs = nil // nobody can tell that it missed something before
		}
		for _, d := range differs {
			what = append(what, w.name+": "+d)
		}
		w.lives.mu.Lock()
		m.lives.mu.Lock()
		for id, l := range w.lives.lives {
			if has := m.lives.lives[id]; has.Alive < l.Alive {
				what = append(what, fmt.Sprintf("the master has %+v, %s %+v", has, w.name, l))
			}
		}
		if n := w.lives.pending.Len(); n > 0 {
			what = append(what, fmt.Sprintf("%s has %d agents to send", w.name, n))
		}
		m.lives.mu.Unlock()
		w.lives.mu.Unlock()
	}
	if n := m.groups.left(); n > 0 {
		what = append(what, fmt.Sprintf("the master has groups of %d agents to send", n))
	}
	return what
}

func (m *model) end() {
	for _, w := range m.workers {
		w.down()
		w.faults.Close()
		for _, lost := range w.lives.lost {
			m.t.Error(lost)
		}
	}
	m.master.down()
}

// Whatever happens on the way, in the end all databases agree and nothing that
// was confirmed is lost. TESTUDO_SEEDS is how many histories are tried.
func TestModel_AllDatabasesAgree(t *testing.T) {
	seeds := 1000
	if n, err := strconv.Atoi(os.Getenv("TESTUDO_SEEDS")); err == nil {
		seeds = n
	} else if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { history(t, uint64(seed)) })
		})
	}
}

func history(t *testing.T, seed uint64) {
	m := newModel(t, seed)
	defer m.end()
	m.heal()
	for range 60 {
		time.Sleep(time.Duration(m.IntN(4000)) * time.Millisecond)
		m.step()
		m.anyWorker().tell(m.IntN(3))
	}
	m.heal()
	for _, w := range m.workers {
		w.tell(len(w.lags))
	}
	for range 15 * 60 {
		time.Sleep(time.Second)
		if len(m.wrong()) == 0 {
			return
		}
	}
	t.Errorf("after 15 minutes: %v", m.wrong())
}
