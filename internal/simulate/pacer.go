package simulate

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

const (
	// paceEvery is how often the pacer looks what is due.
	paceEvery = 5 * time.Millisecond
	// sampleEvery is how often a write is sampled at most.
	sampleEvery = 25 * time.Millisecond
	// maxBurst is how much that is late is made up for at once; the rest is
	// missed, as an agent does not send two keep-alives for one it missed.
	maxBurst = time.Second
	// tries is how often another agent is drawn when one cannot take part.
	tries = 8
)

// pacer decides what happens to which agent when. It alone owns the members
// that are not busy.
type pacer struct {
	s      *Simulation
	rng    *rand.Rand
	queues []chan op // of the nodes that agents report to
	master chan op

	began      time.Time
	keepalives float64 // due since the beginning
	events     float64
	ring       int // the next member to keep alive
	nextSample time.Duration

	missed   int64 // a keep-alive that was due, but no writer was free
	moved    int64
	left     int64
	returned int64
	regroups int64
}

// run paces until the duration is over or ctx ends, and ends at once when broken
// is closed. In the last interval nothing but keep-alives happens, so that every
// agent is heard of once more after whatever happened to it: times in databases
// are whole seconds, and two nodes' reports of one second cannot be told apart.
func (p *pacer) run(ctx context.Context, broken <-chan struct{}) {
	turn := time.NewTicker(paceEvery)
	defer turn.Stop()
	tell := time.NewTicker(time.Second)
	defer tell.Stop()
	const never = time.Duration(1<<63 - 1)
	end := cmp.Or(p.s.o.Duration, never)
	interrupted := ctx.Done()
	var last time.Duration
	for {
		select {
		case <-turn.C:
		case <-tell.C:
			p.s.o.Status(p.s.status(p))
			continue
		case <-interrupted:
			interrupted, end = nil, min(end, time.Since(p.began)+p.s.o.Keepalive)
		case <-broken:
			return
		}
		now := time.Since(p.began)
		if now >= end {
			return
		}
		p.step(now, now-last, end-now > p.s.o.Keepalive)
		last = now
	}
}

// step does what has become due since the last one.
func (p *pacer) step(now, since time.Duration, events bool) {
	count := float64(len(p.s.herd))
	if events {
		p.events += p.s.o.Churn * count * since.Minutes()
	} else {
		p.events = 0
	}
	for ; p.events >= 1; p.events-- {
		p.event(now)
	}
	p.keepalives += count * float64(since) / float64(p.s.o.Keepalive)
	if most := max(count*float64(maxBurst)/float64(p.s.o.Keepalive), 1); p.keepalives > most {
		lost := int64(p.keepalives - most)
		p.missed += lost
		p.ring = (p.ring + int(lost)) % len(p.s.herd)
		p.keepalives = most
	}
	for ; p.keepalives >= 1; p.keepalives-- {
		m := &p.s.herd[p.ring]
		p.ring = (p.ring + 1) % len(p.s.herd)
		p.keepAlive(m, now)
	}
}

// keepAlive is the turn of one agent.
func (p *pacer) keepAlive(m *member, now time.Duration) {
	if m.busy.Load() {
		p.missed++
		return
	}
	switch {
	case m.state == active:
		if !p.send(p.queues[m.node], op{kind: keepsAlive, member: m}, now) {
			p.missed++
		}
	case m.state == unborn:
		p.connect(m, m.node, now)
	case int64(now) >= m.backAt:
		if p.connect(m, int16(p.rng.IntN(len(p.queues))), now) {
			p.returned++
		}
	}
}

// connect has an agent begin to report to a node.
func (p *pacer) connect(m *member, node int16, now time.Duration) bool {
	oldNode, oldState := m.node, m.state
	m.node, m.state = node, active
	if p.send(p.queues[node], op{kind: connects, member: m}, now) {
		return true
	}
	m.node, m.state = oldNode, oldState
	p.missed++
	return false
}

// event lets something happen to an agent drawn by lot.
func (p *pacer) event(now time.Duration) {
	for range tries {
		m := &p.s.herd[p.rng.IntN(len(p.s.herd))]
		if m.busy.Load() || m.state != active {
			continue
		}
		switch lot := p.rng.IntN(10); {
		case lot < 4 && len(p.queues) > 1:
			other := (int(m.node) + 1 + p.rng.IntN(len(p.queues)-1)) % len(p.queues)
			if p.connect(m, int16(other), now) {
				p.moved++
			}
		case lot < 7 && p.s.o.Groups > 1:
			before := m.group
			m.group = int16(p.rng.IntN(p.s.o.Groups))
			if p.send(p.master, op{kind: changesGroup, member: m}, now) {
				p.regroups++
			} else {
				m.group = before
			}
		default:
			m.state, m.backAt = away, int64(now+p.s.o.Keepalive*time.Duration(1+p.rng.IntN(3)))
			if p.send(p.queues[m.node], op{kind: leaves, member: m}, now) {
				p.left++
			} else {
				m.state = active
			}
		}
		return
	}
}

// send gives an operation to a node's writers, unless all are busy and more is
// waiting already.
func (p *pacer) send(queue chan<- op, o op, now time.Duration) bool {
	o.sampled = o.kind == changesGroup || now >= p.nextSample && o.kind != leaves
	o.member.busy.Store(true)
	select {
	case queue <- o:
		if o.sampled && o.kind != changesGroup {
			p.nextSample = now + sampleEvery
		}
		return true
	default:
		o.member.busy.Store(false)
		return false
	}
}
