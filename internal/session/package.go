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
	"strings"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/wire"
)

// A file leaves in chunks of this size, so many of them on the way at once to
// a Testudo peer: enough to fill a fast link, little enough to keep fifty
// transfers small. A 4.7.5 peer gets one at a time: frames that follow one
// another closely can end a read of its exactly after a header, which it does
// not survive (docs/wire.md §2.1).
const (
	chunkBytes  = 256 << 10
	chunkWindow = 4

	// mostSilent is how many chunks in a row may stay without an answer. A
	// single late one is no failure, but a peer that answers none would hold
	// the transfer for hours.
	mostSilent = 6

	maxTask = 64 // bytes of a task's id; it is a UUID
)

// ErrTask is returned when a peer answers an announcement with something that
// cannot be a task's id.
var ErrTask = errors.New("the peer's task id makes no sense")

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
	if len(task) > maxTask || strings.ContainsAny(task, " \n") {
		return Sent{}, ErrTask
	}
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.sendings.add(task, cancel)
	defer s.sendings.remove(task)

	f := s.newOutgoing(sending)
	err = f.send(write)
	if err == nil {
		err = s.announceEnd(ctx, kind, task, f)
	}
	took := time.Since(f.started)
	var cancelled *CancelledError
	if errors.As(context.Cause(sending), &cancelled) {
		err = cancelled
	} else if err != nil && !f.announced {
		s.reportFailure(ctx, kind, task, err)
	}
	if err != nil {
		s.abandon(ctx, kind, task, f)
	}
	return Sent{f.bytes, took}, err
}

// abandon makes the peer close and remove what it has of a file. A 4.7.5 node
// does so only when the end is announced for a task it no longer has.
func (s *Session) abandon(ctx context.Context, kind, task string, f *outgoing) {
	if !f.created || f.announced || s.ctx.Err() != nil || ctx.Err() != nil {
		return
	}
	err := f.finish(ctx)
	if err == nil {
		err = s.announceEnd(ctx, kind, task, f)
	}
	s.log.Debug("transfer given up", "command", kind, "answer", err)
}

func (s *Session) announceEnd(ctx context.Context, kind, task string, f *outgoing) error {
	f.announced = true
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
	silent  int // chunks in a row without an answer
	digest  hash.Hash
	sealed  bool // the peer takes sealed frames
	bytes   int64
	started time.Time

	created   bool // the peer has been asked to open the file, and has not refused
	ended     bool // the peer has been told the digest
	announced bool // the peer has been told that the package is whole
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
	if f.sealed = s.sealing.ready.Load(); f.sealed {
		f.digest = newChecksum()
	}
	f.buf = make([]byte, 0, chunkBytes)
	f.buf = append(append(f.buf, f.path...), ' ')
	f.prefix = len(f.buf)
	return f
}

func (f *outgoing) send(write func(io.Writer) error) error {
	f.created = true
	if _, err := f.s.Request(f.ctx, "new_file", []byte(f.path)); err != nil && !isTimeout(err) {
		_, refused := errors.AsType[*RemoteError](err)
		f.created = !refused
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
	if err := f.ctx.Err(); err != nil { // an answer and a cancel may come together
		return err
	}
	c, err := f.s.startFrame(f.ctx, f.frame("file_upd", cmdSealedUpdate, f.buf), false)
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
		_, err := c.wait(ctx)
		switch {
		case err == nil:
			f.silent = 0
		case !isTimeout(err):
			return err
		default:
			if f.silent++; f.silent >= mostSilent {
				return fmt.Errorf("%d chunks without an answer: %w", f.silent, err)
			}
		}
	}
	return nil
}

func (f *outgoing) finish(ctx context.Context) error {
	if f.ended {
		return nil
	}
	f.ctx = ctx
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.settle(ctx, 0); err != nil {
		return err
	}
	f.ended = true
	end := append([]byte(f.path+" "), f.digest.Sum(nil)...)
	c, err := f.s.startFrame(ctx, f.frame("file_end", cmdSealedEnd, end), false)
	if err != nil {
		return err
	}
	if _, err := c.wait(ctx); err != nil && !isTimeout(err) {
		return err
	}
	return nil
}

// frame is one of the file's frames: sealed, under its own name, for a peer
// that takes it.
func (f *outgoing) frame(command, sealed string, payload []byte) wire.Frame {
	if f.sealed {
		return wire.Frame{Command: sealed, Payload: payload, Sealed: true}
	}
	return wire.Frame{Command: command, Payload: payload}
}

func isTimeout(err error) bool {
	return errors.Is(err, fault.New(fault.RequestTimeout, nil))
}
