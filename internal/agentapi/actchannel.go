package agentapi

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// listenerQueue is the datagram socket of the program that agents are connected
// to; what is written there goes to them (docs/agentfunctions.md §3).
const listenerQueue = "queue/alerts/ar"

// listener is the way to the agents that are connected to this node.
type listener struct {
	conn  net.Conn
	stop  func() bool
	spent error // set when nothing more can be sent
}

// listener connects to the socket. The error is 1010 when nobody is there. All
// messages have a few seconds together: a listener that takes nothing holds up
// nobody for long.
func (x *Changes) listener(ctx context.Context) (*listener, error) {
	path := filepath.Join(x.cfg.Dir, listenerQueue)
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fault.Wrap(fault.QueueUnreachable, listenerQueue, err)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(x.cfg.Send)); err != nil {
		return nil, fault.Wrap(fault.QueueUnreachable, listenerQueue, errors.Join(err, conn.Close()))
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	return &listener{conn: conn, stop: stop}, nil
}

// Close ends the connection.
func (l *listener) Close() error {
	l.stop()
	return l.conn.Close()
}

// send writes one message. After a failure that the next message would meet as
// well, the others fail at once.
func (l *listener) send(text string) error {
	if l.spent != nil {
		return l.spent
	}
	_, err := l.conn.Write([]byte(text))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EMSGSIZE):
		return fault.Wrap(fault.QueueMessage, "longer than the queue takes", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.spent = fault.Wrap(fault.QueueSend, listenerQueue+" is full", err)
	default:
		l.spent = fault.Wrap(fault.QueueSend, listenerQueue, err)
	}
	return l.spent
}

// tell sends each agent its message and makes those reached the items. An agent
// for whom there is no message fails.
func (x *Changes) tell(ctx context.Context, r *result.Affected, agents []state, text func(a state) (string, error)) error {
	if len(agents) == 0 {
		return nil
	}
	l, err := x.listener(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	var reached []agent.ID
	for _, a := range agents {
		message, err := text(a)
		if err == nil {
			err = l.send(message)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.Fail(fault.From(err), fault.TextID(a.id.String()))
			continue
		}
		reached = append(reached, a.id)
	}
	return affect(r, reached)
}

// active parts agents into those that are connected and, as failures, the
// others.
func active(r *result.Affected, all []state) []state {
	return slices.DeleteFunc(all, func(a state) bool {
		if a.status != agent.Active {
			fail(r, fault.AgentInactive, a.id.String())
			return true
		}
		return false
	})
}
