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

	writing sync.Mutex // one at a time; guards in for those who do not read
	wrote   bool
	hurry   *time.Timer // sends what is held; nil before the first

	mu      sync.Mutex
	last    uint32                // counter of the last request
	open    map[uint32]replyTaker // of requests that wait for their reply; nil before the first
	strings *session.Strings      // nil before the first
	over    bool                  // nobody reads any more
}

// replyTaker gets the reply to a request, or net.ErrClosed when none will come. It
// runs on the goroutine that reads.
type replyTaker func(f wire.Frame, err error)

// surelyTaken is what a socket on which nothing has been written takes at once,
// wherever we run.
const surelyTaken = 2 << 10

// write sends frames, behind those that are held, with one call (docs/wire.md
// §2.1).
func (l *link) write(frames ...wire.Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.append(frames); err != nil {
		return err
	}
	return l.flushLocked()
}

// writeLong writes a frame that is made already.
func (l *link) writeLong(frame []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.in == nil {
		return net.ErrClosed
	}
	if err := l.flushLocked(); err != nil {
		return err
	}
	return l.send(frame)
}

// append puts frames behind those that are held; of none or all.
func (l *link) append(frames []wire.Frame) error {
	if l.in == nil {
		return net.ErrClosed
	}
	buf := l.in.out
	for i := range frames {
		var err error
		if buf, err = wire.AppendFrame(buf, nil, frames[i]); err != nil {
			return err
		}
	}
	l.in.out = buf
	return nil
}

func (l *link) flushLocked() error {
	buf := l.in.out
	if len(buf) == 0 {
		return nil
	}
	l.in.out = buf[:0]
	if l.hurry != nil {
		l.hurry.Stop()
	}
	return l.send(buf)
}

// send writes to the connection.
func (l *link) send(buf []byte) error {
	if l.wrote || len(buf) > surelyTaken {
		if err := l.conn.SetWriteDeadline(time.Now().Add(l.limits.frame)); err != nil {
			return err
		}
	}
	l.wrote = true
	_, err := l.conn.Write(buf)
	return err
}

// keep holds a frame until flush, which the same goroutine calls soon. A frame
// that cannot be is left out.
func (l *link) keep(f wire.Frame) {
	l.writing.Lock()
	defer l.writing.Unlock()
	_ = l.append([]wire.Frame{f})
}

const (
	// held is how long a frame waits at most for another one to travel with.
	held = 5 * time.Millisecond
	// mostHeld is how many bytes wait. The original's readers need headers in one
	// piece (docs/wire.md §2.1), and of a few pages they get all at once.
	mostHeld = 4 << 10
)

// hold sends a frame with the one that follows it soon, or after a moment.
func (l *link) hold(f wire.Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.append([]wire.Frame{f}); err != nil {
		return err
	}
	switch {
	case len(l.in.out) > mostHeld:
		return l.flushLocked()
	case l.hurry == nil:
		l.hurry = time.AfterFunc(held, l.late)
	default:
		l.hurry.Reset(held)
	}
	return nil
}

// late sends what has been held long enough. Where that cannot be, reading ends.
func (l *link) late() {
	if err := l.flush(); err != nil {
		_ = l.conn.Close()
	}
}

// flush sends what is held.
func (l *link) flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.in == nil {
		return nil
	}
	return l.flushLocked()
}

// give ends the use of the connection's buffers.
func (l *link) give() {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.hurry != nil {
		l.hurry.Stop()
	}
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
	return l.exchange(ctx, command, func(counter uint32) error {
		return l.write(wire.Frame{Counter: counter, Command: command, Payload: payload})
	})
}

// exchange is request for one that write sends under the number it is given.
func (l *link) exchange(ctx context.Context, command string, write func(counter uint32) error) ([]byte, error) {
	type answer struct {
		f   wire.Frame
		err error
	}
	reply := make(chan answer, 1)
	counter, err := l.expect(func(f wire.Frame, err error) { reply <- answer{f, err} })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	defer l.forget(counter)
	if err := write(counter); err != nil {
		return nil, fmt.Errorf("send %s: %w", command, err)
	}
	late := time.NewTimer(l.limits.reply)
	defer late.Stop()
	select {
	case a := <-reply:
		return read(command, a.f, a.err)
	case <-late.C:
		return nil, fault.New(fault.RequestTimeout, command)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// read gives what a reply to a command says.
func read(command string, f wire.Frame, err error) ([]byte, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", command, err)
	case f.Command == nameErr:
		return nil, &session.RemoteError{Command: command, Fault: fault.Parse(f.Payload)}
	}
	return f.Payload, nil
}

// expect draws the number of a request whose reply somebody waits for.
func (l *link) expect(reply replyTaker) (counter uint32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return 0, net.ErrClosed
	}
	if l.open == nil {
		l.open = make(map[uint32]replyTaker)
	}
	l.last++
	l.open[l.last] = reply
	return l.last, nil
}

func (l *link) forget(counters ...uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counters {
		delete(l.open, c)
	}
}

// answered hands a reply to whoever waits for it. It says whether somebody does;
// a reply that nobody waits for is dropped, and never answered.
func (l *link) answered(f wire.Frame) bool {
	l.mu.Lock()
	reply, ok := l.open[f.Counter]
	delete(l.open, f.Counter)
	l.mu.Unlock()
	if ok {
		reply(f, nil)
	}
	return ok
}

// ended tells those who wait that nothing comes any more.
func (l *link) ended() {
	l.mu.Lock()
	l.over = true
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for _, reply := range open {
		reply(wire.Frame{}, net.ErrClosed)
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
	if err := isID(answer); err != nil {
		return "", err
	}
	id := string(answer)
	const head = wire.HeaderSize
	prefix := len(id) + 1
	buf := buffers.Get(head + min(prefix+left, stringBytes))
	defer buffers.Put(buf)
	for from := data.Reader(); left > 0; {
		size := min(prefix+left, stringBytes)
		left -= size - prefix
		_, err := l.exchange(ctx, cmdStringUpdate, func(counter uint32) error {
			frame, err := wire.AppendHeader(buf[:0:head+size], wire.Frame{Counter: counter, Command: cmdStringUpdate}, size)
			if err != nil {
				return err
			}
			return l.writeLong(from.Fill(append(append(frame, id...), ' ')))
		})
		if err != nil {
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
