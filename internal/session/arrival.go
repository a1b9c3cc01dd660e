package session

import (
	"context"
	"errors"
	"io"
)

// ErrGivenUp is returned when a file that is read while it arrives does not
// become whole.
var ErrGivenUp = errors.New("the upload was given up")

// Arrival reads a file while it arrives, so that there is little left to do
// when it is whole. What it gives may still turn out to be wrong: only the
// delivery's own Wait says that the file is the announced one, and whole.
type Arrival struct {
	ctx   context.Context //nolint:containedctx // Read has none
	store *uploadStore
	u     *Upload
	at    int64
}

// Follow returns the first file that the peer begins after the delivery was
// announced, which is its package as a rule: compare Path with that of the
// Upload. It returns an error when ctx ends or the delivery is settled before
// there is one. Reading must have ended when the Upload is closed.
func (d *Delivery) Follow(ctx context.Context) (*Arrival, error) {
	st := &d.session.uploads
	for {
		st.mu.Lock()
		u, news := st.afterLocked(d.begun), st.newsLocked()
		st.mu.Unlock()
		if u != nil {
			return &Arrival{ctx: ctx, store: st, u: u}, nil
		}
		select {
		case <-news:
		case <-d.settled:
			return nil, ErrGivenUp
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Path is the file's path, relative to the home.
func (a *Arrival) Path() string { return a.u.path }

// Read waits for bytes to come. The end is io.EOF when the file is whole and
// has its digest.
func (a *Arrival) Read(p []byte) (int, error) {
	for {
		a.store.mu.Lock()
		size, complete, dropped, news := a.u.size, a.u.complete, a.u.dropped, a.store.newsLocked()
		a.store.mu.Unlock()
		switch {
		case dropped:
			return 0, ErrGivenUp
		case a.ctx.Err() != nil:
			return 0, a.ctx.Err()
		case a.at < size:
			n, err := a.u.file.ReadAt(p[:min(int64(len(p)), size-a.at)], a.at)
			a.at += int64(n)
			return n, err
		case complete:
			return 0, io.EOF
		}
		select {
		case <-news:
		case <-a.ctx.Done():
		}
	}
}

// afterLocked is the oldest open file that was begun after so many others.
func (st *uploadStore) afterLocked(begun uint64) *Upload {
	var first *Upload
	for _, u := range st.files {
		if u.number > begun && (first == nil || u.number < first.number) {
			first = u
		}
	}
	return first
}

// newsLocked is closed at the next change of any upload.
func (st *uploadStore) newsLocked() <-chan struct{} {
	if st.news == nil {
		st.news = make(chan struct{})
	}
	return st.news
}

// changedLocked wakes those who follow an upload.
func (st *uploadStore) changedLocked() {
	if st.news != nil {
		close(st.news)
		st.news = nil
	}
}

func (st *uploadStore) count() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.begun
}
