package integrity

import (
	"context"
	"errors"

	"testudo/internal/filetree"
	"testudo/internal/manifest"
	"testudo/internal/session"
)

// earlyStage is a package that is unpacked while it arrives. Nothing is applied
// before the session says that the very same package is whole. Whatever goes
// wrong with it is forgotten, and the package unpacked when it is whole, which
// then finds the same to complain of.
type earlyStage struct {
	cancel context.CancelFunc
	began  chan struct{} // closed when it is known which file is followed
	done   chan struct{} // closed at the end

	path string // of that file, set before began is closed; empty for none

	// set before done is closed
	stage *filetree.Stage
	diff  manifest.Difference
	err   error
}

var errOtherPackage = errors.New("another file than the one that was followed")

// unpackEarly begins with what the peer sends next. The result is to be
// discarded.
func (c *comparing) unpackEarly(ctx context.Context, d *session.Delivery) *earlyStage {
	ctx, cancel := context.WithCancel(ctx)
	e := &earlyStage{cancel: cancel, began: make(chan struct{}), done: make(chan struct{})}
	go func() { // discard waits for it
		defer close(e.done)
		arrival, err := d.Follow(ctx)
		if err == nil {
			e.path = arrival.Path()
		}
		close(e.began)
		if err != nil {
			e.err = err
			return
		}
		e.stage, e.diff, e.err = c.stage(ctx, e.path, arrival)
	}()
	return e
}

// take hands the stage over, if it is that of the package with this path; it is
// then the caller's to close. The delivery must be settled.
func (e *earlyStage) take(path string) (*filetree.Stage, manifest.Difference, error) {
	<-e.began
	if e.path != "" && e.path != path {
		e.discard()
		return nil, manifest.Difference{}, errOtherPackage
	}
	<-e.done // soon, when nothing is followed
	if e.err != nil {
		return nil, manifest.Difference{}, e.err
	}
	stage := e.stage
	e.stage = nil
	return stage, e.diff, nil
}

// discard ends the work and removes what nobody has taken.
func (e *earlyStage) discard() {
	e.cancel()
	<-e.done
	if e.stage != nil {
		_ = e.stage.Close() // what stays is removed at the next start
		e.stage = nil
	}
}
