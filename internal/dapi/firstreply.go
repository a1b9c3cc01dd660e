package dapi

import (
	"sync/atomic"
	"time"

	"testudo/internal/session"
)

const (
	// textQueued is the reply to a request whose answer comes later.
	textQueued = "Added request to API requests queue"
	// answerMark begins a reply that is the answer (docs/extensions.md).
	answerMark = "="
	// promptly is how long the reply waits for the answer.
	promptly = 100 * time.Millisecond
)

// firstReply is the reply to a request of a Testudo node: the answer itself when
// that is short and comes at once, else that it comes later. A nil one has been
// given.
type firstReply struct {
	respond func(session.Reply, error)
	given   atomic.Bool
	waiting *time.Timer // for the answer; nil for a node that understands none here
}

func newFirstReply(respond func(session.Reply, error), mayAnswer bool) *firstReply {
	r := &firstReply{respond: respond}
	if mayAnswer {
		r.waiting = time.AfterFunc(promptly, func() { r.give(session.OK(textQueued), nil) })
	}
	return r
}

// accepted is called when the request was, or was not.
func (r *firstReply) accepted(err error) {
	switch {
	case err != nil:
		r.stop()
		r.give(session.Reply{}, err)
	case r.waiting == nil:
		r.queued()
	}
}

// give gives the reply, unless another one was given. It says whether it did.
func (r *firstReply) give(reply session.Reply, err error) bool {
	first := !r.given.Swap(true)
	if first {
		r.respond(reply, err)
	}
	return first
}

// queued replies that the answer comes later.
func (r *firstReply) queued() {
	if r != nil && !r.given.Load() {
		r.stop()
		r.give(session.OK(textQueued), nil)
	}
}

// answer replies with the answer, or says that it must take the other way.
func (r *firstReply) answer(data session.Pieces) bool {
	size := data.Len()
	if r == nil || r.waiting == nil || size > inline || r.given.Load() {
		return false
	}
	r.stop()
	payload := append(make([]byte, 0, len(answerMark)+size), answerMark...)
	return r.give(session.OK(data.Reader().Fill(payload)), nil)
}

func (r *firstReply) stop() {
	if r.waiting != nil {
		r.waiting.Stop()
	}
}
