package agentgroups

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/logging"
)

// fullData is what workers get that ask for everything, kept for a moment for
// those that ask at the same time.
type fullData struct {
	mu  sync.Mutex // held while it is read
	now *everything
}

// everything is a string with the groups of all agents.
type everything struct {
	number uint64 // of the last message before it was read
	data   uint64 // of the last message with changes before that
	text   []byte // nil when there are no agents
	chunks int
	read   time.Time
}

// forget drops what nobody has asked for lately.
func (f *fullData) forget() {
	if f.mu.TryLock() { // else it is in use
		f.now = nil
		f.mu.Unlock()
	}
}

// readFull gives the groups of all agents, as read now or since the last change.
func (m *Master) readFull(ctx context.Context, log *slog.Logger) (*everything, error) {
	m.full.mu.Lock()
	defer m.full.mu.Unlock()
	m.mu.Lock()
	e := &everything{number: m.number, data: m.data, read: time.Now()}
	m.mu.Unlock()
	if now := m.full.now; now != nil && now.data == e.data && time.Since(now.read) < m.cfg.Interval {
		return now, nil
	}
	log.Debug("Recalculating agent-group hash.")
	list, err := m.src.AllGroups(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, isNothing)
	if e.chunks = len(list); e.chunks > 0 {
		e.text = chunks.Encode(setCommand, payload, list)
	}
	log.Debug(fmt.Sprintf("Obtained %d chunks of data in %.3fs.", e.chunks, time.Since(e.read).Seconds()))
	m.full.now = e
	return e, nil
}

// sendFull gives the worker the groups of all agents.
func (c *sending) sendFull(ctx context.Context) {
	log := c.s.Log().With(logging.Task(taskSendFull))
	log.Info("Starting.")
	began := time.Now()
	c.mu.Lock()
	c.full, c.lastFull, c.owed = Status{Started: began}, began, max(c.owed-1, 0)
	c.mu.Unlock()
	all, err := c.m.readFull(ctx, log)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.failed.Fail(log, slog.LevelError, "Could not obtain data from wazuh-db: "+logging.Quote(err.Error()))
	}
	if err != nil || all.text == nil {
		log.Info(fmt.Sprintf("Finished in %.3fs. Updated 0 chunks.", time.Since(began).Seconds()))
		return
	}
	log.Debug("Sending chunks.")
	r, ok := c.hand(ctx, log, &c.everything, all.text, all.chunks)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full.Ended, c.full.Chunks = time.Now(), r.Chunks
	c.stored = [sha256.Size]byte{}
	if c.next != nil && c.next.number <= all.number {
		c.next = nil // older than what the worker has now
	}
	if ok {
		c.has, c.failures, c.owed, c.stranger = max(c.has, all.number), 0, 0, false
	}
}
