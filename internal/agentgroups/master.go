package agentgroups

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// MasterConfig is what the master's end needs.
type MasterConfig struct {
	StartDelay time.Duration // before the first message that is not early (agent_group_start_delay)
	Interval   time.Duration // between messages (sync_agent_groups); 0 means 10 s
	// Early is the shortest time between two messages when the Source says that
	// something has changed. Only Testudo workers get these. 0 waits for the
	// interval.
	Early time.Duration
	// Patience is how long a worker may take for one message; 0 means 2 minutes.
	Patience time.Duration

	Log *slog.Logger
}

const (
	// mostFailures is how often a worker may fail to store a message before it
	// is no longer waited for. Its checksum tells it then what it lacks.
	mostFailures = 3
	// mostAway is how many workers are remembered that are not connected.
	mostAway = 1024
	// mostOpen is how many messages are remembered that not every worker has
	// confirmed. What is forgotten is in later messages.
	mostOpen = 16
)

// Master is the master's end of the exchange.
type Master struct {
	cfg      MasterConfig
	src      Source
	progress chan struct{} // poked when a worker has confirmed, failed or gone
	full     fullData
	source   logging.Recurring
	unmarked logging.Recurring

	mu      sync.Mutex
	workers map[*sending]struct{} // connected ones
	number  uint64                // of the last message
	data    uint64                // of the last message with changes
	settled uint64                // of the newest message that was confirmed
	away    map[string]uint64     // by name, the newest message that a worker had stored when it left
	open    []unconfirmed         // by number
}

// message is one state of the master's changes, for all workers.
type message struct {
	number uint64
	text   []byte // with all changes
	chunks int
	bare   []byte            // with the checksum only; nil when there is none
	digest [sha256.Size]byte // of the changes; zero without any
}

// unconfirmed is a message that has not reached all workers that were connected
// when it was made. Every later message holds its changes too, in their newest
// form, as long as it is not confirmed.
type unconfirmed struct {
	number  uint64
	workers []*sending
	confirm func(context.Context) error
}

// NewMaster returns the master's end over its database.
func NewMaster(cfg MasterConfig, src Source) *Master {
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	cfg.Patience = cmp.Or(cfg.Patience, 2*time.Minute)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Master{cfg: cfg, src: src, progress: make(chan struct{}, 1), workers: make(map[*sending]struct{}), away: make(map[string]uint64)}
}

// Offer implements cluster.Exchange.
func (m *Master) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := newSending(m, s)
	mux.Handle(cmdChangesDone, c.changes.HandleDone)
	mux.Handle(cmdChangesFailed, c.changes.HandleFailed)
	mux.Handle(cmdFullDone, c.everything.HandleDone)
	mux.Handle(cmdFullFailed, c.everything.HandleFailed)
	mux.Handle(cmdAsk, c.asked)
	return c.run
}

// Status is how the two sendings to a connected worker stand: of changes, and
// of everything.
func (m *Master) Status(worker string) (changes, full Status, ok bool) {
	c := m.find(worker)
	if c == nil {
		return changes, full, false
	}
	changes, full = c.status()
	return changes, full, true
}

// Trouble says what has gone wrong with what was sent to a connected worker
// since it stored all of a message; ok is false when nothing has.
func (m *Master) Trouble(worker string) (t chunks.Trouble, ok bool) {
	if c := m.find(worker); c != nil {
		return c.trouble.Now()
	}
	return t, false
}

func (m *Master) find(worker string) *sending {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.workers {
		if c.s.Name() == worker {
			return c
		}
	}
	return nil
}

// arrived makes a worker known. One that was away while a change was taken for
// sent gets everything: the checksum would mostly, but not always, tell that it
// lacks something, and only after several messages. What happened before our
// start we do not know: a Testudo worker gets everything then, a 4.7.5 worker is
// left to the checksum.
func (m *Master) arrived(c *sending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers[c] = struct{}{}
	had, known := m.away[c.s.Name()]
	c.met(known, had < m.settled)
	delete(m.away, c.s.Name())
	for i := range m.open { // what is not confirmed yet comes with the next message
		m.open[i].workers = append(slices.Clip(m.open[i].workers), c)
	}
}

func (m *Master) left(c *sending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.workers, c)
	if len(m.away) < mostAway {
		m.away[c.s.Name()] = c.newest()
	}
	poke(m.progress)
}

// settledAfter says whether a later message has been confirmed.
func (m *Master) settledAfter(number uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settled > number
}

func (m *Master) connected() []*sending {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*sending, 0, len(m.workers))
	for c := range m.workers {
		list = append(list, c)
	}
	return list
}

// Run sends what has changed, each interval and soon after a change, until ctx
// ends.
func (m *Master) Run(ctx context.Context) error {
	log := m.cfg.Log.With(logging.Task(taskLocal))
	log.Info(fmt.Sprintf("Sleeping %ds before starting the agent-groups task, waiting for the workers connection.", int(m.cfg.StartDelay.Seconds())))
	var changed <-chan struct{}
	if src, ok := m.src.(Changer); ok && m.cfg.Early > 0 {
		changed = src.Changed()
	}
	turn, early := time.NewTimer(m.cfg.StartDelay), time.NewTimer(time.Hour)
	defer turn.Stop()
	defer early.Stop()
	early.Stop()
	last, due := time.Now(), false // due: early runs
	var late lateRound
	for {
		select {
		case <-turn.C:
			m.full.forget()
			late.is(m.round(ctx, log, false), false)
			turn.Reset(m.cfg.Interval)
			last = time.Now()
		case <-changed:
			if !due {
				due = true
				early.Reset(max(m.cfg.Early-time.Since(last), m.cfg.Early/10))
			}
		case <-early.C:
			due = false
			late.is(m.round(ctx, log, true), true)
			last = time.Now()
		case <-m.progress:
			m.confirm(ctx, log)
			if late.waits {
				late.is(m.round(ctx, log, late.early), late.early)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// lateRound is a round that waits for a worker to be free.
type lateRound struct {
	waits bool
	early bool // all that wait are
}

// is takes down what became of a round.
func (l *lateRound) is(done, early bool) {
	switch {
	case !done:
		l.waits, l.early = true, early && (l.early || !l.waits)
	case early && !l.early: // does not stand for one that waits for all workers
	default:
		l.waits = false
	}
}

// round makes a message and gives it to the workers; an early one only to those
// that are Testudo nodes. It is not done, and to be done when a worker has become
// free, while all are busy: a message may be large, and would have to wait until a
// newer one took its place.
func (m *Master) round(ctx context.Context, log *slog.Logger, early bool) (done bool) {
	m.confirm(ctx, log)
	workers := m.connected()
	if early && !slices.ContainsFunc(workers, (*sending).isTestudo) {
		return true
	}
	if len(workers) > 0 && !slices.ContainsFunc(workers, (*sending).isFree) {
		return false
	}
	log.Info("Starting.")
	if len(workers) == 0 {
		log.Info("No clients connected. Skipping.")
		return true
	}
	began := time.Now()
	list, confirm, err := m.src.PendingGroups(ctx)
	if ctx.Err() != nil {
		return true
	}
	if err != nil {
		m.source.Fail(log, slog.LevelError, "Could not obtain data from wazuh-db: "+logging.Quote(err.Error()))
	} else {
		m.source.Recovered(log, "The agent database can be read again.")
		list = slices.DeleteFunc(list, isNothing)
		log.Debug(fmt.Sprintf("Obtained %d chunks of data in %.3fs.", len(list), time.Since(began).Seconds()))
	}
	if len(list) > 0 {
		msg := m.message(list, confirm, workers)
		for _, c := range workers {
			if !early || c.isTestudo() {
				c.offer(msg)
			}
		}
	}
	log.Info(fmt.Sprintf("Finished in %.3fs.", time.Since(began).Seconds()))
	return true
}

// isNothing tells chunks that are not worth a message: no agent, no checksum.
func isNothing(chunk []byte) bool {
	return string(chunk) == "[]" || string(chunk) == `[{"data":[]}]`
}

// noAgents is the beginning of a chunk that holds the checksum only.
const noAgents = `[{"data":[]`

// message makes the message that all workers get.
func (m *Master) message(list [][]byte, confirm func(context.Context) error, workers []*sending) *message {
	msg := &message{text: chunks.Encode(setCommand, payload, list), chunks: len(list)}
	last, err := chunks.ParseGroups(bytes.Clone(list[len(list)-1]))
	if err == nil && last.HasHash {
		hash := "null"
		if last.Hash != "" {
			hash = `"` + last.Hash + `"`
		}
		msg.bare = chunks.Encode(setCommand, payload, [][]byte{[]byte(noAgents + `,"hash":` + hash + `}]`)})
		list = slices.Clone(list)
		list[len(list)-1] = last.Data
	}
	changes := slices.ContainsFunc(list, func(c []byte) bool { return !bytes.HasPrefix(c, []byte(noAgents)) && string(c) != "[]" })
	if changes {
		h := sha256.New()
		for _, c := range list {
			h.Write(c)
			h.Write([]byte{0})
		}
		h.Sum(msg.digest[:0])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number++
	msg.number = m.number
	if changes {
		m.data = msg.number
		m.open = append(m.open, unconfirmed{msg.number, workers, confirm})
		if len(m.open) > mostOpen { // the oldest is the nearest to its end
			m.open = slices.Delete(m.open, 1, 2)
		}
	}
	return msg
}

// confirm takes down the newest message that has reached every worker for which
// it was made, and with it those before.
func (m *Master) confirm(ctx context.Context, log *slog.Logger) {
	m.mu.Lock()
	var done *unconfirmed
	for i := len(m.open) - 1; i >= 0 && done == nil; i-- {
		if m.reachedLocked(m.open[i]) {
			found := m.open[i]
			done, m.settled = &found, found.number
			m.open = slices.Delete(m.open, 0, i+1)
		}
	}
	m.mu.Unlock()
	if done == nil {
		return
	}
	if err := done.confirm(ctx); err != nil {
		if ctx.Err() == nil { // they stay pending, and are sent again
			m.unmarked.Fail(log, slog.LevelError, "Could not take down that the workers have the groups: "+logging.Quote(err.Error()))
		}
		return
	}
	m.unmarked.Recovered(log, "What the workers have is taken down again.")
}

// reachedLocked says whether every worker of a message that is still connected,
// and at least one, has stored it. A worker that keeps failing is not waited
// for, nor is one that is gone: they catch up by the checksum.
func (m *Master) reachedLocked(u unconfirmed) bool {
	reached := false
	for _, c := range u.workers {
		has, behind := c.confirmed(u.number)
		if _, connected := m.workers[c]; connected && !has && !behind {
			return false
		}
		reached = reached || has
	}
	return reached
}

func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
