package agentinfo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"testudo/internal/agent"
	"testudo/internal/chunks"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// wholeAgents is how many agents that go whole are read at once: some 3 MB, while
// as many are on their way and as many are stored.
const wholeAgents = 4000

// errNotBrief is the end of an exchange whose master takes no agents in brief.
var errNotBrief = errors.New("the master takes no agents in brief")

// portion is a part of what is to be sent.
type portion struct {
	chunks  [][]byte
	last    agent.ID
	confirm func(ctx context.Context, whole []agent.ID) error

	open   int  // strings without a result
	failed bool // one of them was not stored
	whole  []agent.ID
}

// flow is one kind of strings.
type flow struct {
	command, text string // that names a string; that stands in it
	next          func(ctx context.Context, after agent.ID) (*portion, error)
}

// sendBoth sends what the master need not have whole in brief, and then the rest,
// with what the master has asked for. It is errNotBrief when the master cannot
// take, or not store, the former: then everything goes whole for the rest of the
// session.
func (c *reporting) sendBoth(ctx context.Context, log *slog.Logger, total *chunks.Result) error {
	err := c.stream(ctx, log, total, flow{cmdBrief, briefCommand, func(ctx context.Context, after agent.ID) (*portion, error) {
		list, last, confirm, err := c.brief.PendingBrief(ctx, after, c.w.cfg.Agents)
		if len(list) == 0 || err != nil {
			return nil, err
		}
		return &portion{chunks: [][]byte{list}, last: last, confirm: confirm}, nil
	}})
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, session.ErrClosed) {
			return err
		}
		log.Debug("The master does not take agents in brief.", "error", logging.Cut(err.Error()))
		return errNotBrief
	}
	err = c.stream(ctx, log, total, flow{cmdString, setCommand, func(ctx context.Context, after agent.ID) (*portion, error) {
		list, last, confirm, err := c.brief.PendingWhole(ctx, after, min(wholeAgents, c.w.cfg.Agents))
		if len(list) == 0 || err != nil {
			return nil, err
		}
		return &portion{chunks: list, last: last, confirm: func(ctx context.Context, _ []agent.ID) error { return confirm(ctx) }}, nil
	}})
	if err == nil {
		c.w.partial.Recovered(log, "The master has stored all of it.")
	}
	return err
}

// sentPart is a string on its way, with so many chunks of a portion.
type sentPart struct {
	sent   *chunks.Sent
	chunks int
	of     *portion
}

// stream sends portion after portion: one is read while the one before is on its
// way and another is stored. What the master has not stored of a portion keeps the
// others not back; the end is then ErrFewer.
func (c *reporting) stream(ctx context.Context, log *slog.Logger, total *chunks.Result, f flow) error {
	var open []sentPart
	var fewer error
	collect := func() error {
		p := open[0]
		open = open[1:]
		r, err := p.sent.Wait(ctx, c.w.cfg.Patience)
		if err != nil {
			return err
		}
		total.Chunks += r.Chunks
		total.Errors = append(total.Errors, r.Errors...)
		p.of.open--
		p.of.failed = p.of.failed || !r.All(p.chunks)
		p.of.whole = append(p.of.whole, r.Whole...)
		switch {
		case p.of.failed:
			fewer = chunks.ErrFewer
		case p.of.open == 0 && len(p.of.chunks) == 0:
			if err := p.of.confirm(ctx, p.of.whole); err != nil {
				return fmt.Errorf("take down what the master has stored: %w", err)
			}
		}
		return nil
	}
	for after := agent.Manager; ; {
		p, err := f.next(ctx, after)
		if err != nil {
			c.sourceFailed(ctx, log, err)
			return nil
		}
		c.w.source.Recovered(log, "The agent database can be read again.")
		if p == nil {
			break
		}
		after = p.last
		for len(p.chunks) > 0 {
			if len(open) == overlap {
				if err := collect(); err != nil {
					return err
				}
			}
			n := fit(p.chunks, c.w.cfg.Bytes)
			sent, err := c.outbox.SendAs(ctx, c.s, f.command, chunks.Encode(f.text, payload, p.chunks[:n]))
			if err != nil {
				return err
			}
			p.chunks, p.open = p.chunks[n:], p.open+1
			open = append(open, sentPart{sent, n, p})
		}
		p.chunks = nil
	}
	for len(open) > 0 {
		if err := collect(); err != nil {
			return err
		}
	}
	return fewer
}
