package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"testudo/internal/fault"
)

// A file leaves in chunks of this size, so many of them on the way at once to
// a Testudo peer: enough to fill a fast link, little enough to keep fifty
// transfers small. A 4.7.5 peer gets one at a time: frames that follow one
// another closely can end a read of its exactly after a header, which it does
// not survive (docs/wire.md §2.1).
const (
	chunkBytes  = 256 << 10
	chunkWindow = 4
)

// Sent says how a transfer went. Bytes and Took are those of the file alone.
type Sent struct {
	Bytes int64
	Took  time.Duration
}

// CancelledError is the end of a transfer that the receiver called off.
type CancelledError struct{ Remote *RemoteError }

func (e *CancelledError) Error() string { return "cancelled by the receiver: " + e.Remote.Error() }

// Unwrap returns the receiver's reason.
func (e *CancelledError) Unwrap() error { return e.Remote }

// sendings are the transfers under way, by task.
type sendings struct {
	mu   sync.Mutex
	open map[string]context.CancelCauseFunc
}

func (t *sendings) add(task string, cancel context.CancelCauseFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[string]context.CancelCauseFunc)
	}
	t.open[task] = cancel
}

func (t *sendings) remove(task string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, task)
}

func (t *sendings) cancel(task string, why *RemoteError) bool {
	t.mu.Lock()
	cancel, ok := t.open[task]
	t.mu.Unlock()
	if ok {
		cancel(&CancelledError{why})
	}
	return ok
}

// SendPackage sends what write produces as a package of a kind: announcement,
// file, end (docs/wire.md §10.3). The bytes are sent as they are written; none
// are kept. When the receiver calls the transfer off the error is a
// *CancelledError and Sent tells how much had gone.
func (s *Session) SendPackage(ctx context.Context, kind string, write func(io.Writer) error) (Sent, error) {
	answer, err := s.Request(ctx, kind, nil)
	if err != nil {
		var remote *RemoteError
		if !errors.As(err, &remote) {
			s.reportFailure(ctx, kind, "None", err)
		}
		return Sent{}, err
	}
	task := string(answer)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.sendings.add(task, cancel)
	defer s.sendings.remove(task)

	f := s.newOutgoing(sending)
	err = f.send(write)
	sent := Sent{f.bytes, time.Since(f.started)}
	var cancelled *CancelledError
	if errors.As(context.Cause(sending), &cancelled) {
		// A 4.7.5 receiver removes what it has only when the end is announced.
		_ = f.finish(ctx)
		_ = s.announceEnd(ctx, kind, task, f)
		return sent, cancelled
	}
	if err == nil {
		err = s.announceEnd(ctx, kind, task, f)
	}
	if err != nil {
		s.reportFailure(ctx, kind, task, err)
	}
	return sent, err
}

func (s *Session) announceEnd(ctx context.Context, kind, task string, f *outgoing) error {
	_, err := s.Request(ctx, kind+"_e", []byte(task+" "+f.path[1:]))
	return err
}

// ReportFailure tells the peer by kind_r that a transfer of ours, or our work
// on its package, has failed.
func (s *Session) ReportFailure(ctx context.Context, kind string, err error) {
	s.reportFailure(ctx, kind, "None", err)
}

func (s *Session) reportFailure(ctx context.Context, kind, task string, err error) {
	if s.ctx.Err() != nil {
		return
	}
	report := fault.From(err)
	if report.Code == fault.Unspecified {
		report = fault.New(fault.Unspecified, report.Extra)
		report.Class = fault.ClassCluster
	}
	if _, err := s.Request(ctx, kind+"_r", append([]byte(task+" "), report.JSON()...)); err != nil {
		s.log.Debug("failure report was not taken", "command", kind+"_r", "error", err)
	}
}

// outgoing is a file on its way to the peer.
type outgoing struct {
	s       *Session
	ctx     context.Context
	path    string // on the wire, with its leading slash
	prefix  int
	buf     []byte // path, space, chunk
	window  []*call
	ahead   int // chunks that may be unanswered when the next one leaves
	digest  hash.Hash
	bytes   int64
	started time.Time
}

func (s *Session) newOutgoing(ctx context.Context) *outgoing {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	now := time.Now()
	name := fmt.Sprintf("%s-%d.%06d-%s.zip", s.hello.Name, now.Unix(), now.Nanosecond()/1000, hex.EncodeToString(id[:]))
	f := &outgoing{s: s, ctx: ctx, path: "/" + uploadDir(s.hello.Name) + "/" + name, digest: sha256.New(), started: now}
	if s.PeerIsTestudo() {
		f.ahead = chunkWindow - 1
	}
	f.buf = make([]byte, 0, chunkBytes)
	f.buf = append(append(f.buf, f.path...), ' ')
	f.prefix = len(f.buf)
	return f
}

func (f *outgoing) send(write func(io.Writer) error) error {
	if _, err := f.s.Request(f.ctx, "new_file", []byte(f.path)); err != nil && !isTimeout(err) {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	return f.finish(f.ctx)
}

// Write implements io.Writer.
func (f *outgoing) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := copy(f.buf[len(f.buf):cap(f.buf)], p)
		f.buf, p = f.buf[:len(f.buf)+n], p[n:]
		if len(f.buf) == cap(f.buf) {
			if err := f.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (f *outgoing) flush() error {
	chunk := f.buf[f.prefix:]
	if len(chunk) == 0 {
		return nil
	}
	if err := f.settle(f.ctx, f.ahead); err != nil {
		return err
	}
	c, err := f.s.start(f.ctx, "file_upd", f.buf, false)
	if err != nil {
		return err
	}
	f.window = append(f.window, c)
	f.digest.Write(chunk)
	f.bytes += int64(len(chunk))
	f.buf = f.buf[:f.prefix]
	return nil
}

// settle waits until at most n chunks are unanswered. An answer that is late
// is no failure: the connection keeps what it was given (docs/wire.md §10.2).
func (f *outgoing) settle(ctx context.Context, n int) error {
	for len(f.window) > n {
		c := f.window[0]
		f.window = f.window[1:]
		if _, err := c.wait(ctx); err != nil && !isTimeout(err) {
			return err
		}
	}
	return nil
}

func (f *outgoing) finish(ctx context.Context) error {
	f.ctx = ctx
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.settle(ctx, 0); err != nil {
		return err
	}
	end := append([]byte(f.path+" "), f.digest.Sum(nil)...)
	if _, err := f.s.Request(ctx, "file_end", end); err != nil && !isTimeout(err) {
		return err
	}
	return nil
}

func isTimeout(err error) bool {
	return errors.Is(err, fault.New(fault.RequestTimeout, nil))
}
