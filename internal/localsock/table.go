package localsock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"testudo/internal/fault"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// route is how a command is answered.
type route struct {
	answer func(c *conn, f wire.Frame)
	keeps  bool // the payload, for a task
}

// table lists the commands that this node has (docs/local.md §2).
func (s *Server) table() map[string]route {
	t := map[string]route{
		cmdEcho: {answer: func(c *conn, f wire.Frame) {
			c.answer(f, session.Reply{Command: nameEcho, Payload: f.Payload})
		}},
		"echo":  {answer: func(c *conn, f wire.Frame) { c.result(f, f.Payload, nil) }},
		cmdFile: {answer: sendFile},

		cmdNewString:    {answer: longString},
		cmdStringUpdate: {answer: longString},
		cmdStringError:  {answer: longString},
		"cancel_task":   {answer: cancelTask},
		cmdAPIError: {answer: func(c *conn, f wire.Frame) {
			c.result(f, nil, errors.New("only another node reports errors of API requests"))
		}},
	}
	if s.commands.Config != nil {
		t[cmdConfig] = known(func() ([]byte, error) { return s.commands.Config() })
	}
	if s.commands.Hash != nil {
		t[cmdHash] = known(func() ([]byte, error) { return s.commands.Hash(s.ctx) })
	}
	if s.commands.Nodes != nil {
		t[cmdNodes] = s.control(s.commands.Nodes)
	}
	if s.commands.Health != nil {
		t[cmdHealth] = s.control(s.commands.Health)
	}
	if s.commands.Why != nil {
		t[cmdWhy] = route{keeps: true, answer: func(c *conn, f wire.Frame) { c.relay(f, s.commands.Why) }}
	}
	if s.commands.DAPI != nil {
		t[cmdDAPI] = route{answer: dapi, keeps: true}
	}
	if s.commands.Forward != nil {
		t[cmdForward] = route{answer: forward, keeps: true}
	}
	if s.commands.Sync != nil {
		t[cmdSync] = route{answer: func(c *conn, f wire.Frame) { sendSync(c, f, "") }, keeps: true}
		t[cmdAsync] = route{answer: func(c *conn, f wire.Frame) { sendSync(c, f, textSync) }, keeps: true}
	}
	return t
}

func unknown(c *conn, f wire.Frame) { c.result(f, nil, session.UnknownCommand(f.Command)) }

// known answers with what the node knows, whatever the argument.
func known(data func() ([]byte, error)) route {
	return route{answer: func(c *conn, f wire.Frame) {
		data, err := data()
		c.result(f, data, err)
	}}
}

// control is a question about the cluster: a master knows the answer, a worker
// passes the question on.
func (s *Server) control(ask func(context.Context, []byte) ([]byte, error)) route {
	if !s.commands.Relayed {
		return route{answer: func(c *conn, f wire.Frame) {
			data, err := ask(s.ctx, f.Payload)
			c.result(f, data, err)
		}}
	}
	return route{keeps: true, answer: func(c *conn, f wire.Frame) {
		if !c.refused(f) {
			c.relay(f, ask)
		}
	}}
}

// relay says that the answer comes later, and sends it then.
func (c *conn) relay(f wire.Frame, ask func(context.Context, []byte) ([]byte, error)) {
	c.later(f, textRelayed, func(ctx context.Context) {
		data, err := ask(ctx, f.Payload)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			data = fault.From(err).JSON() // which the asker raises (docs/local.md §4)
		}
		c.deliver(cmdControlResult, data)
	})
}

// refused answers what needs a master when there is none.
func (c *conn) refused(f wire.Frame) bool {
	if c.server.commands.Connected == nil {
		return false
	}
	err := c.server.commands.Connected()
	if err != nil {
		c.result(f, nil, err)
	}
	return err != nil
}

func dapi(c *conn, f wire.Frame) {
	if c.refused(f) {
		return
	}
	c.later(f, textQueued, func(ctx context.Context) {
		c.apiError(ctx, c.server.commands.DAPI(ctx, c.name(), f.Payload, c.deliverAPI(ctx)))
	})
}

// forward is "NODE request".
func forward(c *conn, f wire.Frame) {
	node, request, ok := bytes.Cut(f.Payload, []byte{' '})
	if !ok {
		c.result(f, nil, errors.New("node and request expected"))
		return
	}
	if c.unknownNode(f, string(node)) {
		return
	}
	c.later(f, textForwarded, func(ctx context.Context) {
		c.apiError(ctx, c.server.commands.Forward(ctx, c.name(), string(node), request, c.deliverAPI(ctx)))
	})
}

// unknownNode answers a request for a node that is not connected.
func (c *conn) unknownNode(f wire.Frame, node string) bool {
	if known := c.server.commands.Known; known == nil || known(node) {
		return false
	}
	c.result(f, nil, fault.New(fault.UnknownNode, nil))
	return true
}

// sendSync asks a daemon of the master. The answer is a request called "ok" or
// "err": a C program reads nothing else (docs/local.md §3).
func sendSync(c *conn, f wire.Frame, first string) {
	if c.refused(f) {
		return
	}
	c.later(f, first, func(ctx context.Context) {
		data, err := c.server.commands.Sync(ctx, c.name(), f.Payload)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.deliver(nameErr, []byte(plain(err)))
			return
		}
		c.deliver(nameOK, data)
	})
}

// plain is an error as a sentence.
func plain(err error) string {
	if text, ok := errors.AsType[session.PlainError](err); ok {
		return string(text)
	}
	return fault.From(err).Error()
}

// sendFile refuses what the original could never finish (docs/local.md §6).
func sendFile(c *conn, f wire.Frame) {
	_, node, ok := bytes.Cut(f.Payload, []byte{' '})
	if !ok || bytes.IndexByte(node, ' ') >= 0 {
		c.result(f, nil, errors.New("path and node expected"))
		return
	}
	if c.refused(f) || c.unknownNode(f, string(node)) {
		return
	}
	c.result(f, nil, fault.New(fault.SendRequest, "files are not sent for local programs"))
}

func longString(c *conn, f wire.Frame) {
	r, err := c.takeString(f)
	c.result(f, r.Payload, err)
}

// cancelTask is "TASK error"; no transfer of a local client could be meant.
func cancelTask(c *conn, f wire.Frame) {
	_, text, ok := bytes.Cut(f.Payload, []byte{' '})
	if !ok || !json.Valid(text) {
		c.result(f, nil, errors.New("task and error JSON expected"))
		return
	}
	c.result(f, []byte("Request received correctly"), nil)
}

// deliver sends the late result of a request. No reply is waited for: who asks
// by a C program never gives one.
func (c *conn) deliver(command string, data []byte) {
	if err := c.tell(command, data); err != nil {
		c.undelivered(command, err)
	}
}

// errUndelivered ends an API request whose answer the client has not taken.
var errUndelivered = errors.New("the client has not taken the answer")

// deliverAPI sends the answer to an API request. A client that has gone away, or
// that closes instead of saying that it has the answer, is no trouble.
func (c *conn) deliverAPI(ctx context.Context) func(answer ...[]byte) error {
	return func(answer ...[]byte) error {
		err := c.sendResult(ctx, answer)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil && !closed(err) {
			c.undelivered(cmdAPIResult, err)
		}
		return errUndelivered
	}
}

func (c *conn) sendResult(ctx context.Context, answer session.Pieces) error {
	if answer.Len() <= inOneWrite {
		return c.deliverShort(ctx, answer)
	}
	id, err := c.sendString(ctx, answer)
	if err == nil {
		_, err = c.request(ctx, cmdAPIResult, []byte(id))
	}
	return err
}

// apiError tells the client that there is no answer, and why.
func (c *conn) apiError(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, errUndelivered) {
		c.deliver(cmdAPIError, session.ErrorReply(err).Payload)
	}
}

// undelivered logs that a client has not taken its result.
func (c *conn) undelivered(command string, err error) {
	what := "API response"
	switch command {
	case nameOK, nameErr:
		what = "sendsync response"
	case cmdControlResult:
		what = "control response"
	}
	c.server.trouble(c, fmt.Sprintf("Error sending %s to local client", what), err)
}
