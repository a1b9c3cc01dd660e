package localsock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// wait is one call of a client: it reads the connection until the result is
// there.
type wait struct {
	c       *Client
	command string
	counter uint32 // of the request
	echo    uint32 // of the last echo-c
	later   bool   // the result comes as a request of the node
	replied bool

	began time.Time
	due   time.Time // of what is waited for now
	next  time.Time // of the next echo-c

	done   bool
	result []byte
	err    error
}

func newWait(c *Client, command string) wait {
	w := wait{c: c, command: command, began: time.Now()}
	w.next = w.began.Add(c.o.KeepAlive)
	switch command {
	case cmdDAPI, cmdForward, cmdFile, cmdAsync, cmdSync:
		w.later = true // whether or not there is a first reply
	}
	w.due = w.began.Add(c.o.ReplyTime)
	if w.later {
		w.due = w.began.Add(c.o.ResultTime)
	}
	return w
}

func (w *wait) run(payload []byte) ([]byte, error) {
	w.counter = w.c.counter()
	if err := w.c.write(wire.Frame{Counter: w.counter, Command: w.command, Payload: payload}); err != nil {
		return nil, err
	}
	for !w.done {
		f, err := w.read()
		if err != nil {
			return nil, err
		}
		w.take(f)
	}
	_ = w.c.flush() // the result is here, whatever becomes of the last reply
	return w.result, w.err
}

// read gives the next frame. While it waits it shows that it lives. Replies leave
// before it waits.
func (w *wait) read() (wire.Frame, error) {
	if w.c.in.dec.Ready() {
		return w.c.in.dec.Next()
	}
	if err := w.c.flush(); err != nil {
		return wire.Frame{}, err
	}
	for {
		wake := w.due
		if w.next.Before(wake) {
			wake = w.next
		}
		if err := w.c.conn.SetReadDeadline(wake); err != nil {
			return wire.Frame{}, err
		}
		f, err := w.c.in.dec.Next()
		switch now := time.Now(); {
		case err == nil:
			return f, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return wire.Frame{}, err
		case !now.Before(w.due):
			return wire.Frame{}, fault.New(fault.RequestTimeout, w.command)
		case now.Before(w.next): // the rest of a frame did not come
			return wire.Frame{}, err
		}
		w.next = w.next.Add(w.c.o.KeepAlive)
		w.echo = w.c.counter()
		if err := w.c.write(wire.Frame{Counter: w.echo, Command: cmdEcho, Payload: []byte("keepalive")}); err != nil {
			return wire.Frame{}, err
		}
	}
}

// take looks at one frame of the node.
func (w *wait) take(f wire.Frame) {
	if session.IsReply(f.Command) {
		switch {
		case f.Counter == w.counter && !w.replied:
			w.reply(f)
			return
		case f.Counter == w.echo, f.Command != nameOK && f.Command != nameErr:
			return // of a sign of life, or of a call before
		}
	}
	reply, err := w.request(f)
	if err != nil {
		reply = session.ErrorReply(err)
	}
	w.c.keep(wire.Frame{Counter: f.Counter, Command: reply.Command, Payload: reply.Payload})
}

// reply takes the first reply to the request.
func (w *wait) reply(f wire.Frame) {
	w.replied = true
	switch {
	case f.Command == nameErr:
		w.finish(nil, fault.Parse(f.Payload))
	case w.later:
	case string(f.Payload) == textRelayed:
		w.later, w.due = true, w.began.Add(w.c.o.ResultTime)
	case string(f.Payload) == textNobody:
		w.finish(nil, nil)
	default:
		w.finish(f.Payload, nil)
	}
}

// request answers a request of the node (docs/local.md §3), most of which bring
// the result.
func (w *wait) request(f wire.Frame) (session.Reply, error) {
	switch f.Command {
	case cmdNewString, cmdStringUpdate, cmdStringError:
		r, err := w.c.takeString(f)
		w.c.in.dec.Recycle(f.Payload) // what it brought has been copied
		if err != nil && w.later {    // the result will not come then
			w.done, w.err = true, fmt.Errorf("take the result: %w", err)
		}
		return r, err
	case cmdAPIResult, cmdFileResult:
		data, err := w.c.store().Take(string(f.Payload))
		if err != nil {
			return session.Reply{}, err
		}
		w.finish(raise(data))
		return session.OK("Distributed api response received"), nil
	case cmdControlResult:
		w.finish(raise(f.Payload))
		return session.OK("Response received"), nil
	case cmdAPIError:
		w.finish(nil, fault.Parse(f.Payload))
		return session.OK("Response received"), nil
	case nameOK:
		w.finish(f.Payload, nil)
		return session.OK("Sendsync response received"), nil
	case nameErr:
		w.finish(nil, fault.Parse(f.Payload))
		return session.OK("Error response received"), nil
	case "echo":
		return session.OK(f.Payload), nil
	}
	return session.Reply{}, session.UnknownCommand(f.Command)
}

// finish ends the call; what comes after the result changes nothing.
func (w *wait) finish(result []byte, err *fault.Error) {
	if w.done || !w.later && !w.replied {
		return // not of this call
	}
	w.done, w.result = true, result
	if err != nil {
		w.err = &session.RemoteError{Command: w.command, Fault: err}
	}
}

// raise tells a result that is an error from all others.
func raise(data []byte) ([]byte, *fault.Error) {
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte(`{"__wazuh_exception__"`)) {
		return nil, fault.Parse(data)
	}
	return data, nil
}
