package dapi

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// errGone is the end of a request whose node is not connected (any more).
var errGone = errors.New("the node is not connected")

// link is the exchange with the node at the other end of a session. Both nodes
// ask and both answer: this file asks, serve.go answers.
type link struct {
	e *engine
	s *session.Session

	sending  chan struct{} // holds a value for each answer on its way
	refusing chan struct{} // for each refusal
	ending   chan struct{} // for each notice that an asker has gone

	mu      sync.Mutex
	owed    map[string]*question // what the other node has not answered yet, by id
	bytes   int64                // of all these requests
	serving map[string]*served   // its requests that it can call off, by id
}

// question is a request that another node is to answer.
type question struct {
	id    string
	asker string // for whom: a node's name, or local
	size  int64
	ends  chan ending // has room for the one that comes
}

// ending is an answer, or why there is none.
type ending struct {
	data    session.Pieces
	release func() // gives back the room of data
	err     error
}

func newLink(e *engine, s *session.Session, mux *session.Mux) *link {
	l := &link{
		e: e, s: s,
		sending: make(chan struct{}, sendings), refusing: make(chan struct{}, notices), ending: make(chan struct{}, notices),
		owed: make(map[string]*question), serving: make(map[string]*served),
	}
	mux.Handle(cmdRequest, l.handleRequest)
	mux.Offer(session.FeatureReplies)
	mux.HandleLate(cmdTimed, l.handleTimed)
	mux.Handle(cmdEnd, l.handleEnd)
	mux.Handle(cmdResult, l.handleResult)
	mux.Handle(cmdAnswer, l.handleAnswer)
	mux.Handle(cmdError, l.handleError)
	return l
}

// peer is the name of the other node, as an asker.
func (l *link) peer() string {
	if l.e.master {
		return l.s.Name()
	}
	return masterName
}

// ask has the other node answer a request, whose id is told in id. release
// gives back the room of the answer. The error is errGone, the other node's
// own, or why there is no answer.
func (l *link) ask(ctx context.Context, asker string, request []byte, id *string) (data session.Pieces, release func(), err error) {
	q, err := l.open(asker, len(request))
	if err != nil {
		return nil, nil, err
	}
	*id = q.id
	defer l.forget(q)
	reply, err := l.send(ctx, q.id, request)
	if err != nil {
		if ctx.Err() != nil {
			l.callOff(q.id)
		}
		return nil, nil, l.reason(ctx, err)
	}
	if answer, ok := bytes.CutPrefix(reply, []byte(answerMark)); ok {
		release, err = l.e.answers.hold(q.asker, len(answer))
		return session.Pieces{answer}, release, err
	}
	select {
	case end := <-q.ends:
		return end.data, end.release, end.err
	case <-l.s.Done():
	case <-ctx.Done():
		l.callOff(q.id)
	}
	select {
	case end := <-q.ends:
		return end.data, end.release, end.err
	default:
		return nil, nil, l.reason(ctx, session.ErrClosed)
	}
}

// reason is why a request was not answered.
func (l *link) reason(ctx context.Context, err error) error {
	var remote *session.RemoteError
	switch {
	case ctx.Err() != nil && fault.Has(context.Cause(ctx), fault.APITimeout):
		return &fault.Error{Code: fault.APITimeout, Class: fault.ClassCluster}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &remote):
		return remote.Fault
	case errors.Is(err, session.ErrClosed):
		return errGone
	}
	return err
}

// open takes down that the other node owes an answer.
func (l *link) open(asker string, size int) (*question, error) {
	q := &question{id: session.NewID(), asker: asker, size: int64(size), ends: make(chan ending, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owed) >= l.e.cfg.Owed || l.bytes > 0 && l.bytes+q.size > owedBytes {
		return nil, busy("%d requests wait for the other node", len(l.owed))
	}
	l.owed[q.id] = q
	l.bytes += q.size
	return q, nil
}

// forget ends a question. An answer that comes later finds nothing.
func (l *link) forget(q *question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(q)
	select {
	case end := <-q.ends: // it came too late
		if end.release != nil {
			end.release()
		}
	default:
	}
}

// settle is called with the lock held.
func (l *link) settle(q *question) {
	if _, open := l.owed[q.id]; open {
		delete(l.owed, q.id)
		l.bytes -= q.size
	}
}

// deliver hands an ending to who waits for it. make is only called when
// somebody does.
func (l *link) deliver(id string, end func(q *question) ending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, waiting := l.owed[id]
	if !waiting {
		return false
	}
	l.settle(q)
	q.ends <- end(q)
	return true
}

// send sends a request, to a Testudo node with the time that is left, and gives
// the reply.
func (l *link) send(ctx context.Context, id string, request []byte) (reply []byte, err error) {
	command, head := cmdRequest, id+" "
	if l.s.PeerHas(session.FeatureCalls) {
		command, head = cmdTimed, id+" "+strconv.FormatInt(millisLeft(ctx), 10)+" "
	}
	payload := make([]byte, 0, len(head)+len(request))
	payload = append(append(payload, head...), request...)
	return l.s.Request(ctx, command, payload)
}

// callOff tells a Testudo node that nobody waits for an answer any more. When
// many are being told so already this one is left to its deadline.
func (l *link) callOff(id string) {
	if !l.s.PeerHas(session.FeatureCalls) {
		return
	}
	l.notice(l.ending, func(ctx context.Context) {
		_, _ = l.s.Request(ctx, cmdEnd, []byte(id)) // its deadline ends it otherwise
	})
}

// notices is how many small messages of a kind are on their way at once.
const notices = 64

// notice runs a task of the session unless too many of its kind do.
func (l *link) notice(kind chan struct{}, send func(context.Context)) bool {
	select {
	case kind <- struct{}{}:
	default:
		return false
	}
	started := l.s.Go(func(ctx context.Context) {
		defer func() { <-kind }()
		send(ctx)
	})
	if !started {
		<-kind
	}
	return true
}

// handleResult takes an answer that came as a string: "ID SID".
func (l *link) handleResult(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
	id, sid, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return session.Reply{}, errors.New("id and string expected")
	}
	data, err := s.TakePieces(string(sid))
	if err != nil {
		err = fault.Wrap(fault.StringAbsent, nil, err)
	}
	return l.answered(string(id), data, err)
}

// handleAnswer takes an answer that came in one frame: "ID answer".
func (l *link) handleAnswer(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	id, data, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return session.Reply{}, errors.New("id and answer expected")
	}
	return l.answered(string(id), session.Pieces{bytes.Clone(data)}, nil)
}

func (l *link) answered(id string, data session.Pieces, err error) (session.Reply, error) {
	waited := l.deliver(id, func(q *question) ending {
		if err != nil {
			return ending{err: err}
		}
		release, err := l.e.answers.hold(q.asker, data.Len())
		if err != nil {
			return ending{err: err}
		}
		return ending{data: data, release: release}
	})
	if !waited {
		return l.unknown(id)
	}
	return session.OK("Response forwarded to worker"), nil
}

// unknown answers what came for nobody: too late as a rule.
func (l *link) unknown(id string) (session.Reply, error) {
	l.s.Log().Debug("An answer came for nobody", "id", logging.Cut(id))
	if l.e.master {
		return session.Reply{}, fault.New(fault.NoForwarding, nil)
	}
	return session.OK("Response forwarded to worker"), nil
}

// handleError takes the reason why a request could not be run: "ID text".
func (l *link) handleError(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	id, text, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return session.Reply{}, errors.New("id and error expected")
	}
	reason := fault.Parse(text)
	if !l.deliver(string(id), func(*question) ending { return ending{err: reason} }) {
		return session.Reply{}, fault.New(fault.NoForwarding, logging.Quote(string(id[:min(len(id), maxID)])))
	}
	return session.OK("DAPI error forwarded to worker"), nil
}
