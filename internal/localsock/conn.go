package localsock

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/logging"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// conn is a client of the server.
type conn struct {
	link
	server *Server
	id     uint32       // names the client in requests that other nodes answer
	heard  atomic.Int64 // unix nanoseconds of the last whole frame

	tasks    sync.WaitGroup
	underWay atomic.Int32 // tasks
	held     atomic.Int64 // bytes of their requests
	ctx      context.Context
	cancel   context.CancelFunc // nil before the first task; both belong to the goroutine that reads
}

func (c *conn) name() string { return strconv.FormatUint(uint64(c.id), 10) }

// log is the client's own logger.
func (c *conn) log() *slog.Logger { return c.server.root.With(logging.Tag("Local " + c.name())) }

// serve is the life of the client.
func (c *conn) serve() {
	c.in = takeInput(c.conn, c.limits)
	c.read(c.in)
	_ = c.conn.Close()
	c.give()
	c.ended()
	if c.cancel != nil {
		c.cancel()
		c.tasks.Wait()
	}
}

// read answers frames until there are no more.
func (c *conn) read(in *input) {
	first := true
	for {
		f, err := in.dec.Next()
		if err != nil {
			c.server.count(c, err)
			return
		}
		c.heard.Store(time.Now().UnixNano())
		if first { // our numbers are far from theirs: a reply is told by its number (docs/local.md §1)
			c.last, first = f.Counter+1<<31, false
		}
		if session.IsReply(f.Command) {
			c.answered(f)
			continue
		}
		c.server.requests.Add(1)
		c.server.o.Metrics.LocalRequest()
		r, known := c.server.routes[f.Command]
		if !known {
			r = route{answer: unknown}
		}
		r.answer(c, f)
		if !r.keeps {
			in.dec.Recycle(f.Payload)
		}
	}
}

// answer sends the reply to a request; a client that does not take it is closed.
func (c *conn) answer(f wire.Frame, r session.Reply) {
	c.heed(c.reply(f, r))
}

// heed closes a client to which nothing can be sent.
func (c *conn) heed(err error) {
	if err != nil {
		c.server.count(c, err)
		_ = c.conn.Close() // reading ends as well
	}
}

// result answers with data, or with an error.
func (c *conn) result(f wire.Frame, data []byte, err error) {
	if err != nil {
		c.answer(f, session.ErrorReply(err))
		return
	}
	c.answer(f, session.Reply{Command: nameOK, Payload: data})
}

// later replies to a request and has a task do the rest; ctx ends with the
// connection. An empty text is no reply. The reply travels with what the task says
// when that comes at once.
func (c *conn) later(f wire.Frame, text string, task func(ctx context.Context)) {
	size := int64(len(f.Payload))
	others := c.underWay.Load()
	if int(others) >= c.server.o.Requests || others > 0 && c.held.Load()+size > c.server.o.MessageBytes {
		c.result(f, nil, errBusy())
		return
	}
	if c.cancel == nil {
		c.ctx, c.cancel = context.WithCancel(c.server.ctx)
	}
	if text != "" {
		c.heed(c.hold(wire.Frame{Counter: f.Counter, Command: nameOK, Payload: []byte(text)}))
	}
	c.underWay.Add(1)
	c.held.Add(size)
	c.tasks.Add(1)
	c.server.hands.Go(func() {
		defer c.tasks.Done()
		task(c.ctx)
		c.heard.Store(time.Now().UnixNano()) // it has had to wait for us
		c.held.Add(-size)
		c.underWay.Add(-1)
	})
}

// silentSince is when the client was heard last; ok is false while it waits for
// something.
func (c *conn) silentSince() (since time.Time, ok bool) {
	return time.Unix(0, c.heard.Load()), c.underWay.Load() == 0
}
