package cluster

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
)

// Trouble is why a worker has no master.
type Trouble struct {
	Master      string    // host and port that it tries
	Since, Last time.Time // the first and the last time it went wrong
	Times       int       // in a row
	Text        string    // what went wrong the last time, in a few words
	Hint        string    // what to do about it, may be empty
	Fault       *fault.Error
}

// troubles keeps it.
type troubles struct {
	mu  sync.Mutex
	now Trouble
}

func (t *troubles) fail(master, text, hint string, f *fault.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now.Times == 0 {
		t.now.Since = time.Now()
	}
	t.now = Trouble{master, t.now.Since, time.Now(), t.now.Times + 1, text, hint, f}
}

func (t *troubles) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = Trouble{}
}

// Trouble says why there is no master; ok is false when there is one, or when
// nothing has been tried yet.
func (w *Worker) Trouble() (t Trouble, ok bool) {
	w.troubles.mu.Lock()
	defer w.troubles.mu.Unlock()
	return w.troubles.now, w.troubles.now.Times > 0
}

// undialled takes down a failed try to connect.
func (w *Worker) undialled(address string, err error) {
	text := dialText(err)
	hint := "See whether the address and the port are right and nothing between the nodes refuses them."
	if errors.Is(err, syscall.ECONNREFUSED) {
		text = "nobody listens there"
		hint = "See whether the master runs, and whether <nodes> and <port> of this worker name it."
	}
	w.troubles.fail(address, text, hint, nil)
}

// ended takes down why a session is over.
func (w *Worker) ended(address string, err error, try *attempt) {
	var remote *session.RemoteError
	switch {
	case errors.As(try.refused, &remote):
		w.troubles.fail(address, "the master refuses this worker: "+remote.Error(), remote.Fault.Code.Advice(), remote.Fault)
	case try.refused != nil:
		w.troubles.fail(address, "it takes connections but does not answer", "See whether it is a cluster master that listens there, and how busy it is.", fault.From(try.refused))
	case !try.welcome && isClosed(err):
		w.troubles.fail(address, "the master closes the connection without a word",
			"The <key> of the two nodes probably differs, or the master's limit of connections is reached: its log says which.", nil)
	case errors.Is(err, io.EOF):
		w.troubles.fail(address, "the master closed the connection", "It has probably stopped or is starting again.", nil)
	case errors.Is(err, errSilent):
		w.troubles.fail(address, "the master did not answer keep-alives", fault.RequestTimeout.Advice(), fault.New(fault.RequestTimeout, nil))
	default:
		w.troubles.fail(address, connectionText(err), "", numbered(err))
	}
}
