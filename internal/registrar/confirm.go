package registrar

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"testudo/internal/enrolment"
)

const (
	// confirmMost is how many confirmations wait; beyond, the oldest are forgotten,
	// which costs the agents concerned nothing.
	confirmMost = 10_000
	// confirmBatch is how many ids travel together.
	confirmBatch = 1000
	// confirmGather is how long ids are gathered: a small part of settleTime.
	confirmGather = 100 * time.Millisecond
	// confirmTime bounds one question, confirmPause parts it from the next when it
	// failed.
	confirmTime  = 10 * time.Second
	confirmPause = 2 * time.Second
)

// confirms tells a Testudo master which agents have their keys (docs/extensions.md).
type confirms struct {
	ask  func(context.Context, enrolment.Message) ([]byte, error)
	wake chan struct{}

	mu      sync.Mutex
	waiting []string
}

func newConfirms(ask func(context.Context, enrolment.Message) ([]byte, error)) *confirms {
	return &confirms{ask: ask, wake: make(chan struct{}, 1)}
}

// later confirms an agent some time.
func (c *confirms) later(id string) {
	c.mu.Lock()
	c.waiting = append(c.waiting, id)
	c.boundLocked()
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *confirms) boundLocked() {
	if over := len(c.waiting) - confirmMost; over > 0 {
		c.waiting = append(c.waiting[:0:0], c.waiting[over:]...)
	}
}

// keep asks whether an agent has its place still, and to keep it until it has its
// key, too. An error is that the key may not be handed over.
func (c *confirms) keep(ctx context.Context, id string) error {
	m := confirmation(id)
	m.Arguments.Held = true
	data, err := c.ask(ctx, m)
	if err != nil {
		return err
	}
	answer, err := enrolment.ParseAnswer(data)
	switch {
	case err != nil:
		return err
	case answer.Refusal != nil:
		return errors.New("the answer came too late, the key is another's: " + answer.Refusal.Text)
	}
	return nil
}

func confirmation(ids ...string) enrolment.Message {
	return enrolment.Message{Function: enrolment.FunctionConfirm, Arguments: enrolment.Arguments{ID: strings.Join(ids, ",")}}
}

// run sends what waits until ctx ends.
func (c *confirms) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		if !sleep(ctx, confirmGather) {
			return
		}
		for ids := c.take(); len(ids) > 0; ids = c.take() {
			if c.send(ctx, ids) {
				continue
			}
			c.putBack(ids)
			if !sleep(ctx, confirmPause) {
				return
			}
		}
	}
}

func (c *confirms) send(ctx context.Context, ids []string) bool {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	_, err := c.ask(ctx, confirmation(ids...))
	return err == nil
}

func (c *confirms) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), confirmBatch)
	ids := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	return ids
}

func (c *confirms) putBack(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(ids, c.waiting...)
	c.boundLocked()
}
