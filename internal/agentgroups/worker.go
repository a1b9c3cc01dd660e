package agentgroups

import (
	"bytes"
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
	Timeout time.Duration // for the chunks of one message (timeout_agent_groups); 0 means 40 s
	// Mismatches is how many times in a row the checksums may differ before
	// everything is asked for (agent_groups_mismatch_limit); 0 means 5.
	Mismatches int
}

// maxStrings is how many messages may wait. A 4.7.5 master takes all it sends
// for stored, so a slow database must not make it lose any at once.
const maxStrings = 4

// Worker is the worker's end of the exchange.
type Worker struct {
	cfg  WorkerConfig
	sink Sink

	mu      sync.Mutex
	changes Status
	full    Status
}

// NewWorker returns the worker's end over its database.
func NewWorker(cfg WorkerConfig, sink Sink) *Worker {
	cfg.Timeout = cmp.Or(cfg.Timeout, 40*time.Second)
	cfg.Mismatches = cmp.Or(cfg.Mismatches, 5)
	return &Worker{cfg: cfg, sink: sink}
}

// Status is how the last receptions went: of changes, and of everything.
func (w *Worker) Status() (changes, full Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes, w.full
}

// applying is the conversation with one master. Its messages are worked on one
// after the other, and what is not guarded belongs to that work.
type applying struct {
	w     *Worker
	s     *session.Session
	inbox chunks.Inbox

	masters   chunks.Groups // checksum of the message being worked on
	different int           // checksums in a row that were
	refused   int           // of inbox, as far as that has been acted upon
	asked     bool          // everything has been asked for
	diff      difference    // found in everything
}

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := &applying{w: w, s: s, inbox: chunks.Inbox{Most: maxStrings}}
	mux.Handle(cmdChanges, c.inbox.Handle(chunks.Kind{
		What: what, Task: taskRecv, Command: setCommand, Done: cmdChangesDone, Failed: cmdChangesFailed,
		Store: c.storeChanges, After: c.compare,
	}))
	mux.Handle(cmdFull, c.inbox.Handle(chunks.Kind{
		What: what, Task: taskRecvFull, Command: setCommand, Done: cmdFullDone, Failed: cmdFullFailed,
		Store: c.storeAll, After: c.explain, Finally: c.recalculate,
	}))
	return nil
}

// storeChanges stores the chunks of a message.
func (c *applying) storeChanges(ctx context.Context, log *slog.Logger, list [][]byte) (chunks.Result, error) {
	c.masters = chunks.Groups{}
	if len(list) > 0 { // the checksum counts, whatever becomes of the chunks
		if last, err := chunks.ParseGroups(bytes.Clone(list[len(list)-1])); err == nil {
			c.masters = last
		}
	}
	return c.store(ctx, log, list, c.w.sink.SetSyncGroups)
}

// store stores chunks by set, which gets the list of agents of each.
func (c *applying) store(ctx context.Context, log *slog.Logger, list [][]byte, set func(context.Context, []byte) error) (chunks.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Timeout)
	defer cancel()
	return chunks.Store(ctx, log, what, list, func(ctx context.Context, chunk []byte) error {
		g, err := chunks.ParseGroups(chunk)
		if err != nil || string(g.Data) == "[]" {
			return err // a message with the checksum only is the usual one
		}
		return set(ctx, g.Data)
	})
}

// compare compares our checksum with the master's. When they have differed for
// too long everything is asked for.
func (c *applying) compare(ctx context.Context, log *slog.Logger, began time.Time, _ [][]byte, r chunks.Result) {
	c.w.mu.Lock()
	c.w.changes = Status{Started: began, Ended: time.Now(), Chunks: r.Chunks}
	c.w.mu.Unlock()
	if !c.masters.HasHash {
		return
	}
	asked := time.Now()
	ours, _, err := c.w.sink.GroupsHash(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		log.Error("Could not obtain data from wazuh-db: " + logging.Quote(err.Error()))
	default:
		log.Debug(fmt.Sprintf("Obtained 1 chunks of data in %.3fs.", time.Since(asked).Seconds()))
	}
	if err == nil && ours == c.masters.Hash {
		reset := ""
		if c.different > 0 {
			reset = "Counter reset."
		}
		log.Debug("The checksum of both databases match. " + reset)
		c.different, c.asked = 0, false
		return
	}
	if err == nil {
		log.Debug(fmt.Sprintf("The checksum of master (%s) and worker (%s) are different.", shown(c.masters.Hash), shown(ours)))
	}
	c.different++
	if refused := c.inbox.Refused(); refused > c.refused { // of what we refuse a 4.7.5 master sends nothing again
		c.refused, c.different = refused, max(c.different, c.w.cfg.Mismatches)
	}
	log.Debug(fmt.Sprintf("Checksum comparison failed (%d/%d).", c.different, c.w.cfg.Mismatches))
	if c.different >= c.w.cfg.Mismatches {
		c.ask(ctx, log)
	}
}

// shown is a checksum in the log.
func shown(hash string) string {
	if hash == "" {
		return "None"
	}
	return logging.Quote(hash)
}

// ask asks the master for everything.
func (c *applying) ask(ctx context.Context, log *slog.Logger) {
	c.different = 0
	if _, err := c.s.Request(ctx, cmdAsk, nil); err != nil {
		if ctx.Err() == nil && !errors.Is(err, session.ErrClosed) {
			log.Error("Error asking for all agent-groups information: " + logging.Quote(err.Error()))
		}
		return
	}
	c.asked = true
	log.Info("Sent request to obtain all agent-groups information from the master node.")
}

// storeAll stores the groups of all agents, and finds out which were different.
func (c *applying) storeAll(ctx context.Context, log *slog.Logger, list [][]byte) (chunks.Result, error) {
	c.diff = difference{}
	return c.store(ctx, log, list, func(ctx context.Context, data []byte) error {
		if err := c.diff.add(ctx, c.w.sink, data); err != nil && ctx.Err() == nil {
			log.Debug("Groups could not be compared", "error", logging.Cut(err.Error()))
		}
		return c.w.sink.SetSyncGroups(ctx, data)
	})
}

// explain says which agents had other groups than on the master.
func (c *applying) explain(_ context.Context, log *slog.Logger, began time.Time, _ [][]byte, r chunks.Result) {
	c.w.mu.Lock()
	c.w.full = Status{Started: began, Ended: time.Now(), Chunks: r.Chunks}
	c.w.mu.Unlock()
	if c.diff.incomplete || len(r.Errors) > 0 && c.diff.count == 0 {
		return
	}
	switch {
	case c.diff.count > 0 && !c.asked: // what is usual after a start or an absence
		log.Info(c.diff.String())
	case c.diff.count > 0:
		log.Warn(c.diff.String())
	case c.asked:
		log.Warn("No agent of the master's had other groups here, but the checksums differ: this node has agents that the master has not.")
	}
	c.asked = false
}

// recalculate computes the checksums anew from the groups.
func (c *applying) recalculate(ctx context.Context, log *slog.Logger, _ chunks.Result) {
	log.Debug("Recalculating agent-group hash.")
	if err := c.w.sink.RecalculateGroupHashes(ctx); err != nil && ctx.Err() == nil {
		f := fault.From(err)
		log.Warn(fmt.Sprintf("Error %d executing recalculate agent-group hash command: %s", f.Code, logging.Quote(f.Message())))
	}
}
