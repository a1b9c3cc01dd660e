package agentgroups

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// sending is the conversation with one worker. It gets one message at a time;
// of those that come up meanwhile only the newest is kept, since it holds all
// changes of the others that are not confirmed.
type sending struct {
	m          *Master
	s          *session.Session
	changes    chunks.Outbox
	everything chunks.Outbox
	wake       chan struct{}
	failed     logging.Recurring
	partial    logging.Recurring
	trouble    chunks.Troubles

	mu       sync.Mutex
	busy     bool // something is on its way
	next     *message
	wanted   bool              // the worker has asked for everything
	owed     int               // tries left to give it everything, because it has missed something
	stranger bool              // this master has not had it before
	lastFull time.Time         // it got everything
	has      uint64            // number of the newest message that it has stored
	stored   [sha256.Size]byte // digest of the changes it has stored last
	failures int               // in a row
	last     Status
	full     Status
}

func newSending(m *Master, s *session.Session) *sending {
	return &sending{
		m: m, s: s, wake: make(chan struct{}, 1),
		changes: chunks.Outbox{Command: cmdChanges}, everything: chunks.Outbox{Command: cmdFull},
	}
}

func (c *sending) isTestudo() bool { return c.s.PeerHas(session.FeatureAgents) }

func (c *sending) status() (changes, full Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.full
}

// confirmed says whether the worker has stored a message, and whether it fails
// so often that nobody waits for it.
func (c *sending) confirmed(number uint64) (has, behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.has >= number, c.failures >= mostFailures
}

// newest is the number of the newest message that the worker has stored. What
// it is owed it has not.
func (c *sending) newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed > 0 {
		return 0
	}
	return c.has
}

// met takes down what is known of a worker that has just connected: nothing, or
// whether it has missed something.
func (c *sending) met(known, missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stranger = !known
	if missed {
		c.owed = mostFailures
	}
}

func (c *sending) isFree() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.busy
}

func (c *sending) isBehind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures >= mostFailures
}

// offer replaces the message that waits.
func (c *sending) offer(msg *message) {
	c.mu.Lock()
	c.next = msg
	c.mu.Unlock()
	poke(c.wake)
}

// asked is the worker's request for everything.
func (c *sending) asked(context.Context, *session.Session, []byte) (session.Reply, error) {
	c.mu.Lock()
	c.wanted = true
	c.mu.Unlock()
	poke(c.wake)
	return session.OK("All agent-groups follow"), nil
}

// run sends one message after the other while the session lives.
func (c *sending) run(ctx context.Context) {
	c.m.arrived(c)
	defer c.m.left(c)
	later := time.NewTimer(time.Hour)
	defer later.Stop()
	for ctx.Err() == nil {
		msg, full, wait := c.take()
		switch {
		case full:
			c.sendFull(ctx)
			c.done()
		case msg != nil:
			c.send(ctx, msg)
			c.done()
		default:
			later.Reset(wait)
			select {
			case <-c.wake:
			case <-later.C:
			case <-ctx.Done():
			}
		}
	}
}

// done says that the worker is free again.
func (c *sending) done() {
	c.mu.Lock()
	c.busy = false
	c.mu.Unlock()
	poke(c.m.progress)
}

// take gives what is to be sent next, or how long to wait. Everything is sent
// at most once in an interval.
func (c *sending) take() (msg *message, full bool, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = time.Hour
	if c.stranger && c.next != nil && c.isTestudo() {
		c.stranger, c.owed = false, mostFailures
	}
	if c.wanted || c.owed > 0 {
		if wait = c.m.cfg.Interval - time.Since(c.lastFull); wait <= 0 {
			c.wanted, c.busy = false, true
			return nil, true, 0
		}
	}
	msg, c.next = c.next, nil
	c.busy = msg != nil
	return msg, false, wait
}

// send gives the worker a message and waits for what becomes of it.
func (c *sending) send(ctx context.Context, msg *message) {
	log := c.s.Log().With(logging.Task(taskSend))
	log.Info("Starting.")
	c.mu.Lock()
	c.last = Status{Started: time.Now()}
	text, n := msg.text, msg.chunks
	if c.stored == msg.digest && msg.bare != nil && msg.digest != [sha256.Size]byte{} {
		text, n = msg.bare, 1 // it has these changes already; others have not
	}
	c.mu.Unlock()
	log.Debug("Sending chunks.")
	r, ok := c.hand(ctx, log, &c.changes, text, n)
	if ctx.Err() != nil {
		return
	}
	missed := ok && c.m.settledAfter(c.newest()) && c.isBehind() // it was not waited for
	c.mu.Lock()
	c.last.Ended, c.last.Chunks = time.Now(), r.Chunks
	if ok {
		if missed {
			c.owed = mostFailures
		}
		c.has, c.stored, c.failures = max(c.has, msg.number), msg.digest, 0
	} else {
		c.stored = [sha256.Size]byte{}
		c.failures++
	}
	failures := c.failures
	c.mu.Unlock()
	if failures == mostFailures {
		log.Warn("The worker does not store what it is sent; it is no longer waited for.")
	}
}

// hand sends a string and logs what became of it. ok says that all of it is
// stored.
func (c *sending) hand(ctx context.Context, log *slog.Logger, box *chunks.Outbox, text []byte, n int) (r chunks.Result, ok bool) {
	box.Forget() // they go one after the other
	sent, err := box.Send(ctx, c.s, text)
	if err == nil {
		r, err = sent.Wait(ctx, c.m.cfg.Patience)
	}
	if ctx.Err() == nil {
		c.trouble.Note(r, err, n)
	}
	var peer *chunks.PeerError
	switch {
	case ctx.Err() != nil || errors.Is(err, session.ErrClosed):
		return r, false
	case errors.As(err, &peer):
		c.failed.Fail(log, slog.LevelError, "There was an error while processing agent-groups on the peer: "+logging.Quote(peer.Text))
		return r, false
	case err != nil:
		c.failed.Fail(log, slog.LevelError, "Error sending agent-groups information to "+c.s.Name()+": "+logging.Quote(err.Error()))
		return r, false
	}
	c.failed.Recovered(log, "Groups reach the worker again.")
	line, bad := r.Line(time.Since(sent.Began()))
	if bad {
		log.Error(line)
	} else {
		log.Info(line)
	}
	if !r.All(n) {
		c.partial.Fail(log, slog.LevelWarn, "The worker has not stored all of it; it gets it again.")
		return r, false
	}
	c.partial.Recovered(log, "The worker has stored all of it.")
	return r, true
}
