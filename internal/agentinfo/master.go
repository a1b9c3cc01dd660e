package agentinfo

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/chunks"
	"testudo/internal/session"
)

// MasterConfig is what the master's end needs.
type MasterConfig struct {
	Timeout time.Duration // for the chunks of one string (timeout_agent_info); 0 means 40 s

	// Writing is how many workers' strings are stored at once; 0 means 2. The
	// database has one writer, so more only take memory.
	Writing int
	// Bytes bounds the strings of all workers that wait for that. Beyond it no
	// worker gets permission to send. 0 means 256 MiB.
	Bytes int64
}

const (
	// overlap is how many strings a Testudo worker has on the way: the second
	// travels while the first is stored.
	overlap = 2
	// maxStrings is how many strings of one worker may wait or be stored: one
	// more, since a worker knows of a result before we know that it does.
	maxStrings = overlap + 1
)

// Master is the master's end of the exchange.
type Master struct {
	cfg     MasterConfig
	sink    Sink
	writing chan struct{} // holds a value for each string being stored

	mu      sync.Mutex
	workers map[string]*receiving // connected ones, by name
}

// NewMaster returns the master's end over its database.
func NewMaster(cfg MasterConfig, sink Sink) *Master {
	cfg.Timeout = cmp.Or(cfg.Timeout, 40*time.Second)
	cfg.Bytes = cmp.Or(cfg.Bytes, 256<<20)
	return &Master{cfg: cfg, sink: sink, writing: make(chan struct{}, cmp.Or(cfg.Writing, 2)), workers: make(map[string]*receiving)}
}

// Status is how the exchange with a connected worker stands.
func (m *Master) Status(worker string) (Status, bool) {
	m.mu.Lock()
	c := m.workers[worker]
	m.mu.Unlock()
	if c == nil {
		return Status{}, false
	}
	open, _ := c.inbox.Open()
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.last
	last.Free = open == 0
	return last, true
}

// held is the size of all strings that wait or are being stored.
func (m *Master) held() (bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.workers {
		_, n := c.inbox.Open()
		bytes += n
	}
	return bytes
}

// receiving is the conversation with one worker.
type receiving struct {
	m     *Master
	s     *session.Session
	inbox chunks.Inbox

	trouble chunks.Troubles

	mu   sync.Mutex
	last Status
}

// Offer implements cluster.Exchange.
func (m *Master) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := &receiving{m: m, s: s, inbox: chunks.Inbox{Most: maxStrings}}
	mux.Handle(cmdPermission, c.permission)
	mux.Handle(cmdString, c.inbox.Handle(chunks.Kind{
		What: what, Task: task, Command: setCommand, Done: cmdDone, Failed: cmdFailed,
		Store: c.store, After: c.finished,
	}))
	if sink, ok := m.sink.(BriefSink); ok {
		mux.Handle(cmdBrief, c.inbox.Handle(chunks.Kind{
			What: what, Task: task, Command: briefCommand, Done: cmdDone, Failed: cmdFailed,
			Store: func(ctx context.Context, log *slog.Logger, list [][]byte) (chunks.Result, error) {
				return c.storeBrief(ctx, log, sink, list)
			},
			After: c.finished,
		}))
	}
	return c.run
}

// storeBrief is store for agents in brief.
func (c *receiving) storeBrief(ctx context.Context, log *slog.Logger, sink BriefSink, list [][]byte) (chunks.Result, error) {
	var whole []agent.ID
	r, err := c.storeWith(ctx, log, list, func(ctx context.Context, chunk []byte) error {
		some, err := sink.SetBrief(ctx, chunk)
		whole = append(whole, some...)
		return err
	})
	r.Whole = whole
	return r, err
}

// run makes the worker known while its session lives.
func (c *receiving) run(ctx context.Context) {
	name := c.s.Name()
	c.m.mu.Lock()
	c.m.workers[name] = c
	c.m.mu.Unlock()
	<-ctx.Done()
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.m.workers[name] == c {
		delete(c.m.workers, name)
	}
}

// permission answers whether the worker may send: when nothing of it is being
// stored, and not too much of the others waits.
func (c *receiving) permission(context.Context, *session.Session, []byte) (session.Reply, error) {
	if open, _ := c.inbox.Open(); open > 0 || c.m.held() >= c.m.cfg.Bytes {
		return session.OK("False"), nil
	}
	return session.OK("True"), nil
}

// store writes the chunks of one string into the database.
func (c *receiving) store(ctx context.Context, log *slog.Logger, list [][]byte) (chunks.Result, error) {
	return c.storeWith(ctx, log, list, c.m.sink.SetSyncInfo)
}

func (c *receiving) storeWith(ctx context.Context, log *slog.Logger, list [][]byte, put func(context.Context, []byte) error) (chunks.Result, error) {
	select {
	case c.m.writing <- struct{}{}:
		defer func() { <-c.m.writing }()
	case <-ctx.Done():
		return chunks.Result{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, c.m.cfg.Timeout)
	defer cancel()
	r, err := chunks.Store(ctx, log, what, list, put)
	c.trouble.Note(r, err, len(list))
	return r, err
}

// Trouble says what has gone wrong with the agents of a connected worker since
// all of a string was stored; ok is false when nothing has.
func (m *Master) Trouble(worker string) (t chunks.Trouble, ok bool) {
	m.mu.Lock()
	c := m.workers[worker]
	m.mu.Unlock()
	if c == nil {
		return chunks.Trouble{}, false
	}
	return c.trouble.Now()
}

func (c *receiving) finished(_ context.Context, _ *slog.Logger, began time.Time, _ [][]byte, r chunks.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = Status{Started: began, Ended: time.Now(), Chunks: r.Chunks}
}
