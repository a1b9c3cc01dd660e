package simulate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"testudo/internal/agent"
)

const (
	// lookEvery is how often a database is asked for what is awaited there: what
	// a lag can be wrong by.
	lookEvery = 20 * time.Millisecond
	// maxAwaited bounds the writes that are looked for at one time.
	maxAwaited = 256
	// maxLags bounds the lags that are kept.
	maxLags = 1 << 20
)

// seen is an agent as a database has it.
type seen struct {
	ID            agent.ID `json:"id"`
	Node          string   `json:"node_name"`
	Status        string   `json:"connection_status"`
	ConfigSum     string   `json:"config_sum"`
	LastKeepalive int64    `json:"last_keepalive"`
	Groups        string   `json:"groups"`
}

const seenColumns = `id, node_name, connection_status, config_sum, last_keepalive, "group" AS groups`

// probe looks in one database for writes made in another.
type probe struct {
	node     *node
	patience time.Duration
	wake     chan struct{} // holds a token when there is something new to look for

	mu      sync.Mutex
	awaited map[agent.ID]sample
	lags    []time.Duration
	late    int // writes that were not seen in time
}

type sample struct {
	since   time.Time
	arrived func(seen) bool
}

func newProbe(n *node, patience time.Duration) *probe {
	return &probe{node: n, patience: patience, wake: make(chan struct{}, 1), awaited: map[agent.ID]sample{}}
}

// add has a write looked for. A later write of an agent that is looked for
// already takes the place of the former, with the former's time.
func (p *probe) add(id agent.ID, since time.Time, arrived func(seen) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.awaited[id]; ok {
		since = before.since
	} else if len(p.awaited) >= maxAwaited {
		return
	}
	p.awaited[id] = sample{since, arrived}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// open is how many writes are looked for.
func (p *probe) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.awaited)
}

// lag gives what was measured, and what was not seen in time.
func (p *probe) lag() (lags []time.Duration, late int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lags), p.late
}

// run looks until ctx ends.
func (p *probe) run(ctx context.Context) error {
	c, err := dial(ctx, p.node)
	if err != nil {
		return err
	}
	defer c.close()
	turn := time.NewTicker(lookEvery)
	defer turn.Stop()
	for {
		next := turn.C
		if p.open() == 0 {
			next = nil
		} else if err := p.look(ctx, c); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-next:
		case <-p.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// look asks once for everything that is looked for.
func (p *probe) look(ctx context.Context, c *client) error {
	p.mu.Lock()
	ids := make([]string, 0, len(p.awaited))
	for id := range p.awaited {
		ids = append(ids, strconv.Itoa(int(id)))
	}
	p.mu.Unlock()
	rows, err := query[seen](ctx, c, fmt.Sprintf("SELECT %s FROM agent WHERE id IN (%s)", seenColumns, strings.Join(ids, ",")))
	if err != nil {
		return err
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rows {
		if s, ok := p.awaited[r.ID]; ok && s.arrived(r) {
			delete(p.awaited, r.ID)
			if len(p.lags) < maxLags {
				p.lags = append(p.lags, now.Sub(s.since))
			}
		}
	}
	for id, s := range p.awaited {
		if now.Sub(s.since) > p.patience {
			delete(p.awaited, id)
			p.late++
		}
	}
	return nil
}
