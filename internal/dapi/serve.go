package dapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/result"
	"testudo/internal/session"
)

const (
	// sendings is how many answers are on their way to one node at once. A node
	// keeps at most 16 unfinished strings of one connection, and the exchanges
	// about agents have some, too.
	sendings = 8
	// inline is the longest answer that travels in one frame between Testudo
	// nodes.
	inline = 256 << 10
	maxID  = 128 // bytes of the id of a request

	// A node that takes no string now is asked again, with growing pauses.
	stringTries = 6
	stringPause = 100 * time.Millisecond
)

// served is a request of the other node's that it can call off.
type served struct{ cancel context.CancelCauseFunc }

// millisLeft is the time until a context's deadline, at least 1; 0 means that
// it has none.
func millisLeft(ctx context.Context) int64 {
	due, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(1, time.Until(due).Milliseconds())
}

// handleRequest takes a request: "ID request".
func (l *link) handleRequest(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	id, request, ok := bytes.Cut(payload, []byte{' '})
	if !ok || len(id) == 0 || len(id) > maxID {
		return session.Reply{}, errors.New("id and request expected")
	}
	err := l.accept(string(id), request, 0, nil)
	if fault.Has(err, fault.Busy) && l.refuse(string(id), err) {
		err = nil
	}
	return session.OK(textQueued), err
}

// refuse tells why a request is not answered, as any other answer is told. It is
// false when too many are being told so already.
func (l *link) refuse(id string, why error) bool {
	return l.notice(l.refusing, func(ctx context.Context) { l.reply(ctx, id, nil, why) })
}

// handleTimed takes a request of a Testudo node: "ID milliseconds request".
func (l *link) handleTimed(_ context.Context, _ *session.Session, payload []byte, respond func(session.Reply, error)) {
	id, rest, _ := bytes.Cut(payload, []byte{' '})
	millis, request, ok := bytes.Cut(rest, []byte{' '})
	left, err := strconv.ParseUint(string(millis), 10, 32)
	if !ok || err != nil || len(id) == 0 || len(id) > maxID {
		respond(session.Reply{}, errors.New("id, milliseconds and request expected"))
		return
	}
	first := newFirstReply(respond, l.s.PeerHas(session.FeatureReplies))
	first.accepted(l.accept(string(id), request, time.Duration(left)*time.Millisecond, first))
}

// handleEnd ends a request whose asker has gone.
func (l *link) handleEnd(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.serving[string(payload)]; r != nil {
		r.cancel(errAskerGone)
	}
	return session.OK("Thanks"), nil
}

// accept begins to answer a request of the other node's, or says that there are
// too many. payload belongs to the session; first is nil for a 4.7.5 node's.
func (l *link) accept(id string, payload []byte, left time.Duration, first *firstReply) error {
	leave, err := l.e.gate.enter(l.peer(), len(payload))
	if err != nil {
		l.e.cfg.Metrics.DAPIRequest("other", "busy", 0)
		return err
	}
	request := bytes.Clone(payload)
	started := l.s.Go(func(ctx context.Context) {
		defer leave()
		defer first.queued()
		l.serve(ctx, id, request, left, first)
	})
	if !started {
		leave()
		return session.ErrClosed
	}
	return nil
}

// serve answers a request.
func (l *link) serve(ctx context.Context, id string, request []byte, left time.Duration, first *firstReply) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if left > 0 {
		var stop context.CancelFunc
		work, stop = context.WithTimeoutCause(work, left, fault.New(fault.APITimeout, nil))
		defer stop()
	}
	if first != nil {
		r := &served{cancel}
		l.mu.Lock()
		l.serving[id] = r
		l.mu.Unlock()
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.serving[id] == r {
				delete(l.serving, id)
			}
		}()
	}
	data, release, err := l.e.answer(work, id, l.peer(), onCluster, request)
	if err == nil {
		defer release()
	}
	if errors.Is(context.Cause(work), errAskerGone) || ctx.Err() != nil {
		return
	}
	if err == nil && first.answer(data) {
		return
	}
	first.queued()
	l.reply(ctx, id, data, err)
}

// reply sends an answer, or why there is none. A 4.7.5 master that waits for a
// request of its own understands results only, so a worker answers with one.
func (l *link) reply(ctx context.Context, id string, data session.Pieces, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.e.cfg.Timeout)
	defer cancel()
	if err != nil && l.e.master {
		l.replyError(ctx, id, err)
		return
	}
	if err != nil {
		data = result.Outcome{Err: result.Origin{Node: l.e.cfg.Node, Readable: true}.Blame(err)}.Pieces()
	}
	select {
	case l.sending <- struct{}{}:
		defer func() { <-l.sending }()
	case <-ctx.Done():
		return
	}
	if err = l.sendAnswer(ctx, id, data); err == nil || errors.Is(err, session.ErrClosed) || ctx.Err() != nil {
		return
	}
	l.e.refusals.Log(l.e.cfg.Log, slog.LevelError, "Error sending API response to "+logging.Quote(l.peer())+": "+logging.Quote(err.Error()))
	var remote *session.RemoteError
	refused := errors.As(err, &remote) && remote.Command != cmdNewString // nobody waits for it any more
	if l.e.master && !refused {
		l.replyError(ctx, id, err)
	}
}

const cmdNewString = "new_str"

func (l *link) replyError(ctx context.Context, id string, err error) {
	payload := append([]byte(id+" "), fault.From(err).JSON()...)
	if _, err := l.s.Request(ctx, cmdError, payload); err != nil && ctx.Err() == nil {
		l.e.cfg.Log.Debug("Error sending a DAPI error", "to", logging.Cut(l.peer()), "error", logging.Cut(err.Error()))
	}
}

func (l *link) sendAnswer(ctx context.Context, id string, data session.Pieces) error {
	if size := data.Len(); size <= inline && l.s.PeerHas(session.FeatureCalls) {
		payload := make([]byte, 0, len(id)+1+size)
		payload = data.Reader().Fill(append(append(payload, id...), ' '))
		_, err := l.s.Request(ctx, cmdAnswer, payload)
		return err
	}
	sid, err := l.sendString(ctx, data)
	if err != nil {
		return err
	}
	_, err = l.s.Request(ctx, cmdResult, []byte(id+" "+sid))
	return err
}

// sendString sends a string to a node that may have no room for it yet.
func (l *link) sendString(ctx context.Context, data session.Pieces) (string, error) {
	pause := stringPause
	for try := 1; ; try++ {
		sid, err := l.s.SendString(ctx, data...)
		var remote *session.RemoteError
		if try == stringTries || !errors.As(err, &remote) || remote.Command != cmdNewString {
			return sid, err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
