package localsock

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// limits bound what the other end can make this one hold or wait for.
type limits struct {
	wire    wire.Limits
	strings session.Limits
	frame   time.Duration // from a frame's first byte to its last, either way
	reply   time.Duration // for the other end's reply to a request
}

// link is one end of a connection.
type link struct {
	conn   net.Conn
	limits *limits
	in     *input // of who reads, and for frames that are written; nil when the connection has ended

	writing sync.Mutex // one frame at a time; guards in for those who do not read
	wrote   bool

	mu      sync.Mutex
	last    uint32                     // counter of the last request
	open    map[uint32]chan wire.Frame // requests that wait for their reply; nil before the first
	strings *session.Strings           // nil before the first
	over    bool                       // nobody reads any more
}

// surelyTaken is what a socket on which nothing has been written takes at once,
// wherever we run.
const surelyTaken = 2 << 10

// write sends a frame with one call (docs/wire.md §2.1).
func (l *link) write(f wire.Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.in == nil {
		return net.ErrClosed
	}
	buf, err := wire.AppendFrame(l.in.out[:0], nil, f)
	if err != nil {
		return err
	}
	l.in.out = buf
	if l.wrote || len(buf) > surelyTaken {
		if err := l.conn.SetWriteDeadline(time.Now().Add(l.limits.frame)); err != nil {
			return err
		}
	}
	l.wrote = true
	_, err = l.conn.Write(buf)
	return err
}

// give ends the use of the connection's buffers.
func (l *link) give() {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.in != nil {
		l.in.give()
		l.in = nil
	}
}

// reply answers a frame.
func (l *link) reply(f wire.Frame, r session.Reply) error {
	return l.write(wire.Frame{Counter: f.Counter, Command: r.Command, Payload: r.Payload})
}

// counter draws the number of a request.
func (l *link) counter() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last
}

// tell sends a request whose reply nobody waits for.
func (l *link) tell(command string, payload []byte) error {
	return l.write(wire.Frame{Counter: l.counter(), Command: command, Payload: payload})
}

// request sends a request and waits for the reply, which is an error when it is
// an "err". Somebody else reads the connection and hands replies to answered.
func (l *link) request(ctx context.Context, command string, payload []byte) ([]byte, error) {
	counter, reply, err := l.expect()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	defer l.forget(counter)
	if err := l.write(wire.Frame{Counter: counter, Command: command, Payload: payload}); err != nil {
		return nil, fmt.Errorf("send %s: %w", command, err)
	}
	late := time.NewTimer(l.limits.reply)
	defer late.Stop()
	select {
	case f, ok := <-reply:
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: %w", command, net.ErrClosed)
		case f.Command == nameErr:
			return nil, &session.RemoteError{Command: command, Fault: fault.Parse(f.Payload)}
		}
		return f.Payload, nil
	case <-late.C:
		return nil, fault.New(fault.RequestTimeout, command)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *link) expect() (counter uint32, reply chan wire.Frame, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return 0, nil, net.ErrClosed
	}
	if l.open == nil {
		l.open = make(map[uint32]chan wire.Frame)
	}
	l.last++
	reply = make(chan wire.Frame, 1)
	l.open[l.last] = reply
	return l.last, reply, nil
}

func (l *link) forget(counter uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, counter)
}

// answered hands a reply to whoever waits for it. It says whether somebody does;
// a reply that nobody waits for is dropped, and never answered.
func (l *link) answered(f wire.Frame) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	reply, ok := l.open[f.Counter]
	if ok {
		delete(l.open, f.Counter)
		reply <- f
	}
	return ok
}

// ended tells those who wait that nothing comes any more.
func (l *link) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for counter, reply := range l.open {
		close(reply)
		delete(l.open, counter)
	}
}

// stringBytes is how much of a long string goes into one frame.
const stringBytes = 512 << 10

// sendString sends a long string (docs/wire.md §10.1) and returns its id.
func (l *link) sendString(ctx context.Context, data session.Pieces) (string, error) {
	left := data.Len()
	size := strconv.AppendInt(nil, int64(left), 10)
	answer, err := l.request(ctx, cmdNewString, size)
	if err != nil {
		return "", err
	}
	id := string(answer)
	if _, err := strconv.ParseUint(id, 10, 32); err != nil {
		return "", fmt.Errorf("%s: %.32q is no id of a string", cmdNewString, id)
	}
	buf := buffers.Get(min(len(id)+1+left, stringBytes))
	defer buffers.Put(buf)
	payload := append(append(buf[:0:min(cap(buf), stringBytes)], id...), ' ')
	prefix := len(payload)
	for from := data.Reader(); left > 0; {
		payload = from.Fill(payload[:prefix])
		left -= len(payload) - prefix
		if _, err := l.request(ctx, cmdStringUpdate, payload); err != nil {
			return "", err
		}
	}
	return id, nil
}

// store gives the long strings of the other end.
func (l *link) store() *session.Strings {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.strings == nil {
		l.strings = session.NewStrings(l.limits.strings)
	}
	return l.strings
}

// takeString answers new_str, str_upd and err_str.
func (l *link) takeString(f wire.Frame) (session.Reply, error) {
	st := l.store()
	st.Expire(time.Now())
	switch f.Command {
	case cmdNewString:
		return st.New(f.Payload)
	case cmdStringUpdate:
		return st.Update(f.Payload)
	}
	return st.Abandon(f.Payload)
}
