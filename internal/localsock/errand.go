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

// inOneWrite is the longest answer that leaves with the word that it is there in
// one write. The original's readers need the second header in one piece, too
// (docs/wire.md §2.1): so little they read at once.
const inOneWrite = keptBytes - 256

// errand brings a short answer to an API request: the other end says where to put
// it, and as soon as it has, the answer and the word that it is there leave, on the
// goroutine that reads. Nobody wakes up in between.
type errand struct {
	l    *link
	data session.Pieces
	done chan error  // has room for the first that is told
	late *time.Timer // for the reply that is waited for

	mu    sync.Mutex
	asked []uint32 // numbers of the requests
	over  bool
}

// deliverShort sends a short answer and waits until the other end has it.
func (l *link) deliverShort(ctx context.Context, data session.Pieces) error {
	e := &errand{l: l, data: data, done: make(chan error, 1), asked: make([]uint32, 0, 3)}
	defer e.end()
	e.late = time.AfterFunc(l.limits.reply, func() { e.tell(fault.New(fault.RequestTimeout, cmdAPIResult)) })
	defer e.late.Stop()
	counter, err := e.ask(e.placed)
	if err != nil {
		return err
	}
	size := strconv.AppendInt(nil, int64(data.Len()), 10)
	if err := l.write(wire.Frame{Counter: counter, Command: cmdNewString, Payload: size}); err != nil {
		return fmt.Errorf("send %s: %w", cmdNewString, err)
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// placed sends the answer to the place that the other end has named.
func (e *errand) placed(f wire.Frame, err error) {
	id, err := read(cmdNewString, f, err)
	if err == nil {
		err = isID(id)
	}
	if err == nil && e.late.Stop() {
		e.late.Reset(e.l.limits.reply)
		err = e.put(id)
	}
	if err != nil {
		e.tell(err)
	}
}

func (e *errand) put(id []byte) error {
	stored, err := e.ask(func(f wire.Frame, err error) {
		if _, err := read(cmdStringUpdate, f, err); err != nil {
			e.tell(err)
		}
	})
	if err != nil {
		return err
	}
	taken, err := e.ask(func(f wire.Frame, err error) {
		_, err = read(cmdAPIResult, f, err)
		e.tell(err)
	})
	if err != nil {
		return err
	}
	payload := append(buffers.Get(len(id)+1+e.data.Len()), id...)
	defer buffers.Put(payload)
	for _, piece := range append(session.Pieces{{' '}}, e.data...) {
		payload = append(payload, piece...)
	}
	return e.l.write(
		wire.Frame{Counter: stored, Command: cmdStringUpdate, Payload: payload},
		wire.Frame{Counter: taken, Command: cmdAPIResult, Payload: id},
	)
}

// isID checks what is to be the id of a string.
func isID(id []byte) error {
	if _, err := strconv.ParseUint(string(id), 10, 32); err != nil {
		return fmt.Errorf("%s: %.32q is no id of a string", cmdNewString, id)
	}
	return nil
}

// ask draws the number of a request.
func (e *errand) ask(reply replyTaker) (uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return 0, net.ErrClosed
	}
	counter, err := e.l.expect(reply)
	if err == nil {
		e.asked = append(e.asked, counter)
	}
	return counter, err
}

// tell says how it went; what comes later changes nothing.
func (e *errand) tell(err error) {
	select {
	case e.done <- err:
	default:
	}
}

// end forgets what has not been answered.
func (e *errand) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	e.l.forget(e.asked...)
}
