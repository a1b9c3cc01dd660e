package simulate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/agent"
	"testudo/internal/nodedb"
)

// kind is what happens to an agent.
type kind uint8

const (
	connects kind = iota
	keepsAlive
	leaves
	changesGroup
)

// op is one thing that happens, to be written to a database.
type op struct {
	kind    kind
	member  *member
	sampled bool
}

// maxRefusals bounds how many different refusals are kept.
const maxRefusals = 20

// tally counts what writers did.
type tally struct {
	done    [4]atomic.Int64 // by kind
	again   atomic.Int64    // connections made anew
	refused atomic.Int64

	mu       sync.Mutex
	refusals map[string]int // text, how often
}

func (t *tally) refuse(err error) {
	t.refused.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusals == nil {
		t.refusals = map[string]int{}
	}
	if _, ok := t.refusals[err.Error()]; ok || len(t.refusals) < maxRefusals {
		t.refusals[err.Error()]++
	}
}

// write is one connection's work: it carries out operations until there are no
// more, or ctx ends.
func (s *Simulation) write(ctx context.Context, n *node, ops <-chan op) error {
	c, err := dial(ctx, n)
	if err != nil {
		return err
	}
	defer func() {
		s.tally.again.Add(int64(c.again))
		c.close()
	}()
	for o := range ops {
		began := time.Now()
		err := s.carryOut(ctx, c, o, began)
		if _, ok := errors.AsType[*nodedb.RefusedError](err); ok {
			s.tally.refuse(err)
			err = nil
		}
		o.member.busy.Store(false)
		if err != nil {
			return err
		}
	}
	return nil
}

// carryOut writes what an operation means and has it looked for elsewhere when
// it is sampled.
func (s *Simulation) carryOut(ctx context.Context, c *client, o op, began time.Time) error {
	m := o.member
	var err error
	switch o.kind {
	case connects:
		if err = c.do(ctx, keepaliveCommand(m, agent.Pending, s.sync)); err == nil {
			err = s.writeData(ctx, c, m)
		}
	case keepsAlive:
		if s.o.Light {
			err = c.do(ctx, keepaliveCommand(m, agent.Active, s.sync))
		} else {
			err = s.writeData(ctx, c, m)
		}
	case leaves:
		err = c.do(ctx, leaveCommand(m, s.sync))
	case changesGroup:
		err = s.assign(ctx, c, m)
	default:
		err = fmt.Errorf("no such operation: %d", o.kind)
	}
	if err != nil {
		return err
	}
	s.tally.done[o.kind].Add(1)
	if o.kind != changesGroup {
		m.wrote = began.Unix()
	}
	if o.sampled {
		s.look(o, began)
	}
	return nil
}

func (s *Simulation) writeData(ctx context.Context, c *client, m *member) error {
	command, err := dataCommand(m, c.node.name, s.sync, m.seq+1)
	if err != nil {
		return err
	}
	if err := c.do(ctx, command); err != nil {
		return err
	}
	m.seq++
	return nil
}

func (s *Simulation) assign(ctx context.Context, c *client, m *member) error {
	command, err := assignCommand([]assignment{{m.id, m.groups()}})
	if err != nil {
		return err
	}
	return c.do(ctx, command)
}

// look has a sampled write looked for where it must arrive.
func (s *Simulation) look(o op, began time.Time) {
	m := o.member
	if o.kind == changesGroup {
		want := groupText(m)
		for _, p := range s.groupProbes {
			p.add(m.id, began, func(r seen) bool { return r.Groups == want })
		}
		return
	}
	if s.stateProbe == nil {
		return
	}
	if o.kind == keepsAlive && s.o.Light {
		wrote := m.wrote
		s.stateProbe.add(m.id, began, func(r seen) bool { return r.LastKeepalive >= wrote })
		return
	}
	seq := m.seq
	s.stateProbe.add(m.id, began, func(r seen) bool {
		have, ok := seqOf(r.ConfigSum)
		return ok && have >= seq
	})
}
