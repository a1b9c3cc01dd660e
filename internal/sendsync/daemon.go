package sendsync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
	"testudo/internal/unixsock"
)

// question is what a worker's program asks.
type question struct {
	Daemon  string          `json:"daemon_name"`
	Message json.RawMessage `json:"message"`
}

// parse reads a question: an object as message is passed on as it came, a text
// without its quotes. What is no JSON gets a plain sentence, as from the
// original.
func parse(request []byte) (daemon string, message []byte, err error) {
	var q question
	dec := json.NewDecoder(bytes.NewReader(request))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		return "", nil, session.PlainError(err.Error())
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", nil, session.PlainError("more than one JSON value")
	}
	if len(q.Message) > 0 && q.Message[0] == '{' {
		return q.Daemon, q.Message, nil
	}
	var text *string
	if err := json.Unmarshal(q.Message, &text); err != nil || text == nil {
		return q.Daemon, nil, fault.New(fault.SocketTalk, "the message is neither an object nor a text")
	}
	return q.Daemon, []byte(*text), nil
}

// daemon is one that can be asked: behind a socket, or in this process.
type daemon struct {
	path    string
	turns   chan struct{} // a token for each question that it has
	waiting int           // questions of one worker that are under way
	limit   unixsock.Limits
	within  Embedded // in this process; nil: behind the socket
}

// name is that of its socket, by which errors tell it.
func (d *daemon) name() string { return filepath.Base(d.path) }

// ask sends a worker's message on a connection of its own and returns the answer.
func (d *daemon) ask(ctx context.Context, worker string, message []byte) ([]byte, error) {
	if d.within != nil {
		return d.askWithin(ctx, worker, message)
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := conn.Call(ctx, message)
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fault.Wrap(fault.SocketTalk, d.name()+" does not answer", err)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, unixsock.ErrTooLong):
		return nil, fault.Wrap(fault.SocketTalk, d.name()+": message longer than the limit", err)
	}
	return nil, fault.Wrap(fault.SocketTalk, d.name()+" closed the connection without an answer", err)
}

// askWithin asks a daemon of this process.
func (d *daemon) askWithin(ctx context.Context, worker string, message []byte) ([]byte, error) {
	if d.limit.Message < len(message) {
		return nil, fault.New(fault.SocketTalk, d.name()+": message longer than the limit")
	}
	answer := d.within(ctx, worker, message)
	switch cause := context.Cause(ctx); {
	case answer != nil:
		return answer, nil
	case cause != nil && !errors.Is(cause, context.DeadlineExceeded):
		return nil, cause
	}
	return nil, fault.New(fault.SocketTalk, d.name()+" does not answer")
}

// connect waits while the daemon does not keep up with accepting, which the
// system reports at once.
func (d *daemon) connect(ctx context.Context) (*unixsock.Client, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		conn, err := unixsock.Dial(ctx, d.path, unixsock.LengthPrefix(), d.limit)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, syscall.EAGAIN):
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil, fault.Wrap(fault.SocketRefused, "Socket '"+d.name()+"' cannot receive connections", err)
		case errors.Is(err, fs.ErrNotExist):
			return nil, fault.Wrap(fault.SocketMissing, d.name(), err)
		case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded): // the second may be a moment before the first
			return nil, d.busy(ctx)
		default:
			return nil, fault.Wrap(fault.SocketMissing, d.name(), err)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, d.busy(ctx)
		}
	}
}

// busy is the error of a question whose time ended before its turn came.
func (d *daemon) busy(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fault.New(fault.SocketTalk, d.name()+" is busy with earlier questions")
}
