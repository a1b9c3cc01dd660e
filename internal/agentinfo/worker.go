package agentinfo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// WorkerConfig is what the worker's end needs.
type WorkerConfig struct {
	Node     string        // our own name, to which the agents report
	Interval time.Duration // between exchanges (sync_agent_info); 0 means 10 s
	// Early is the shortest time between two exchanges with a Testudo master
	// when the Source says that something has changed; 0 waits for the interval.
	Early time.Duration
	// Patience is how long the master may take for one string; 0 means 3 minutes.
	Patience time.Duration

	Agents int // read at once; 0 means 20,000
	Bytes  int // of chunks in one string, roughly; 0 means 4 MiB
}

const (
	// mostAhead is how far reading goes beyond WorkerConfig.Agents, as a
	// factor, while the master does not store all that it gets.
	mostAhead = 16

	// A 4.7.5 master that has just reported a result may need a moment until
	// it gives the next permission.
	permissionTries = 20
	permissionPause = 100 * time.Millisecond
)

// errNoPermission is the end of an exchange whose master wants no more now.
var errNoPermission = errors.New("no permission for the rest")

// Worker is the worker's end of the exchange.
type Worker struct {
	cfg WorkerConfig
	src Source

	ahead    int // factor of cfg.Agents; belongs to the session's run
	failed   logging.Recurring
	source   logging.Recurring
	partial  logging.Recurring
	unmarked logging.Recurring

	mu   sync.Mutex
	last Status
}

// NewWorker returns the worker's end over its database.
func NewWorker(cfg WorkerConfig, src Source) *Worker {
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	cfg.Patience = cmp.Or(cfg.Patience, 3*time.Minute)
	cfg.Agents = cmp.Or(cfg.Agents, 20_000)
	cfg.Bytes = cmp.Or(cfg.Bytes, 4<<20)
	return &Worker{cfg: cfg, src: src, ahead: 1, last: Status{Free: true}}
}

// Status is how the exchange stands.
func (w *Worker) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// reporting is the conversation with one master.
type reporting struct {
	w      *Worker
	s      *session.Session
	outbox chunks.Outbox
	all    bool // everything has been marked as to be sent

	brief BriefSource // nil when nothing is sent in brief
}

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := &reporting{w: w, s: s, outbox: chunks.Outbox{Command: cmdString}}
	c.brief, _ = w.src.(BriefSource)
	mux.Handle(cmdDone, c.outbox.HandleDone)
	mux.Handle(cmdFailed, c.outbox.HandleFailed)
	return c.run
}

// run sends at once, each interval, and with a Testudo master soon after a
// change.
func (c *reporting) run(ctx context.Context) {
	cfg := c.w.cfg
	var changed <-chan struct{}
	if src, ok := c.w.src.(Changer); ok && cfg.Early > 0 && c.s.PeerHas(session.FeatureAgents) {
		changed = src.Changed()
	}
	turn := time.NewTimer(0)
	defer turn.Stop()
	var last time.Time
	for {
		select {
		case <-turn.C:
		case <-changed:
			if wait := cfg.Early - time.Since(last); wait > 0 {
				turn.Reset(min(wait, cfg.Interval))
				continue
			}
		case <-ctx.Done():
			return
		}
		c.round(ctx)
		last = time.Now()
		turn.Reset(cfg.Interval)
	}
}

// round is one exchange: everything that is to be sent.
func (c *reporting) round(ctx context.Context) {
	log := c.s.Log().With(logging.Task(task))
	if !c.all && !c.markAll(ctx, log) {
		return
	}
	if granted, err := c.permitted(ctx, log); err != nil || !granted {
		if err != nil && ctx.Err() == nil {
			c.w.failed.Fail(log, slog.LevelError, "Error asking for permission: "+logging.Quote(err.Error()))
		}
		return
	}
	c.outbox.Forget() // a master that lets us send works on nothing of ours
	log.Info("Starting.")
	began := time.Now()
	c.w.set(func(s *Status) { s.Free = false })
	defer c.w.set(func(s *Status) { s.Free = true })
	total, err := c.sendAll(ctx, log)
	if ctx.Err() != nil {
		return
	}
	c.explain(log, err)
	if line, bad := total.Line(time.Since(began)); bad {
		log.Error(line)
	} else if err == nil || total.Chunks > 0 {
		log.Info(line)
	}
	if err == nil {
		c.w.failed.Recovered(log, "Agents' states reach the master again.")
	}
	if total.Chunks > 0 {
		c.w.set(func(s *Status) { s.Started, s.Ended, s.Chunks = began, time.Now(), total.Chunks })
	}
}

// markAll marks all agents as to be sent; false when the database cannot be asked.
// One that refuses, as one may that takes no statements that write, still tells
// what has changed, and is asked again the next time.
func (c *reporting) markAll(ctx context.Context, log *slog.Logger) bool {
	err := c.w.src.ReportAll(ctx, c.w.cfg.Node)
	refused, ok := errors.AsType[*fault.Error](err)
	switch {
	case err == nil:
		c.all = true
		c.w.unmarked.Recovered(log, "All agents are reported again.")
	case ok && refused.Code == fault.DatabaseRefused:
		c.w.unmarked.Fail(log, slog.LevelWarn, "The agent database refuses to report all agents; only those that change are reported.", slog.String("error", logging.Cut(err.Error())))
	default:
		c.sourceFailed(ctx, log, err)
		return false
	}
	return true
}

func (w *Worker) set(change func(*Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.last)
}

func (c *reporting) sourceFailed(ctx context.Context, log *slog.Logger, err error) {
	if ctx.Err() == nil {
		c.w.source.Fail(log, slog.LevelError, "Could not obtain data from wazuh-db: "+logging.Quote(err.Error()))
	}
}

// explain logs why an exchange did not come to its end.
func (c *reporting) explain(log *slog.Logger, err error) {
	var peer *chunks.PeerError
	switch {
	case err == nil, errors.Is(err, session.ErrClosed):
	case errors.As(err, &peer):
		c.w.failed.Fail(log, slog.LevelError, "There was an error while processing agent-info on the peer: "+logging.Quote(peer.Text))
	case errors.Is(err, errNoPermission):
		log.Debug("Master didn't grant permission for the rest, which goes with the next synchronization.")
	case errors.Is(err, chunks.ErrFewer):
		c.w.partial.Fail(log, slog.LevelWarn, "The master has not stored all of it; all of it is sent again.")
	default:
		c.w.failed.Fail(log, slog.LevelError, "Error synchronizing agent info: "+logging.Quote(err.Error()))
	}
}

// permitted asks the master whether we may send.
func (c *reporting) permitted(ctx context.Context, log *slog.Logger) (bool, error) {
	answer, err := c.s.Request(ctx, cmdPermission, nil)
	switch {
	case err != nil:
		return false, err
	case string(answer) != "True":
		log.Debug("Master didn't grant permission to start a new synchronization: b'" + logging.Quote(string(answer)) + "'")
		return false, nil
	}
	log.Debug("Permission to synchronize granted.")
	return true, nil
}

// sendAll reads and sends until nothing is left to send.
func (c *reporting) sendAll(ctx context.Context, log *slog.Logger) (total chunks.Result, err error) {
	if c.brief != nil && c.s.PeerHas(session.FeatureAgents) {
		if err := c.sendBoth(ctx, log, &total); !errors.Is(err, errNotBrief) {
			return total, err
		}
		c.brief = nil
	}
	first := true
	for more := true; more; {
		began := time.Now()
		list, left, confirm, err := c.w.src.PendingInfo(ctx, c.w.cfg.Agents*c.w.ahead)
		if err != nil {
			c.sourceFailed(ctx, log, err)
			return total, nil
		}
		c.w.source.Recovered(log, "The agent database can be read again.")
		log.Debug(fmt.Sprintf("Obtained %d chunks of data in %.3fs.", len(list), time.Since(began).Seconds()))
		if len(list) == 0 {
			return total, nil
		}
		err = c.send(ctx, log, list, &first, &total)
		if errors.Is(err, chunks.ErrFewer) {
			// What the master cannot store stays at the head of what is to be
			// sent. The next time more is read, so that it keeps nothing back.
			c.w.ahead = min(c.w.ahead*2, mostAhead)
		}
		if err != nil {
			return total, err
		}
		c.w.ahead = 1
		c.w.partial.Recovered(log, "The master has stored all of it.")
		if err := confirm(ctx); err != nil {
			return total, fmt.Errorf("take down what the master has stored: %w", err)
		}
		more = left
	}
	return total, nil
}

// send sends chunks in strings of bounded size and waits for their results. A
// Testudo master gets the next string while it works on the one before. A
// 4.7.5 master is asked for permission each time.
func (c *reporting) send(ctx context.Context, log *slog.Logger, list [][]byte, first *bool, total *chunks.Result) error {
	log.Debug("Sending chunks.")
	window, fewer := 1, error(nil)
	testudo := c.s.PeerHas(session.FeatureAgents)
	if testudo {
		window = overlap
	}
	var open []part
	collect := func() error {
		p := open[0]
		open = open[1:]
		r, err := p.sent.Wait(ctx, c.w.cfg.Patience)
		total.Chunks += r.Chunks
		total.Errors = append(total.Errors, r.Errors...)
		if err == nil && !r.All(p.chunks) {
			fewer = chunks.ErrFewer
		}
		return err
	}
	for len(list) > 0 {
		if len(open) == window {
			if err := collect(); err != nil {
				return err
			}
		}
		if !*first && !testudo {
			if err := c.again(ctx, log); err != nil {
				return err
			}
		}
		*first = false
		n := fit(list, c.w.cfg.Bytes)
		sent, err := c.outbox.Send(ctx, c.s, chunks.Encode(setCommand, payload, list[:n]))
		if err != nil {
			return err
		}
		open = append(open, part{sent, n})
		list = list[n:]
	}
	for len(open) > 0 {
		if err := collect(); err != nil {
			return err
		}
	}
	return fewer
}

// part is a string on its way, with so many chunks.
type part struct {
	sent   *chunks.Sent
	chunks int
}

// again waits for another permission.
func (c *reporting) again(ctx context.Context, log *slog.Logger) error {
	for range permissionTries {
		granted, err := c.permitted(ctx, log)
		if granted || err != nil {
			return err
		}
		select {
		case <-time.After(permissionPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errNoPermission
}

// fit is how many chunks go into a string of so many bytes, at least one.
func fit(list [][]byte, bytes int) (n int) {
	for _, c := range list {
		if bytes -= len(c); bytes < 0 && n > 0 {
			break
		}
		n++
	}
	return n
}
