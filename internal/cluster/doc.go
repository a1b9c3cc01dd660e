// Package cluster makes a node one among nodes: the master's registry of its
// workers and the way they are admitted, and a worker's search for its master
// (docs/wire.md §6 to §8).
//
// What the nodes say to one another once they are connected is up to the
// exchanges, which this package knows only by the Exchange interface.
package cluster

import (
	"context"

	"testudo/internal/session"
)

// Exchange is one conversation between master and worker, such as integrity.
type Exchange interface {
	// Offer registers the commands of this node's end for one session. The
	// returned work, which may be nil, runs as a task of the session from the
	// moment both ends have introduced themselves.
	Offer(s *session.Session, mux *session.Mux) (work func(ctx context.Context))
}

func offerAll(exchanges []Exchange, s *session.Session, mux *session.Mux) []func(context.Context) {
	var work []func(context.Context)
	for _, e := range exchanges {
		if w := e.Offer(s, mux); w != nil {
			work = append(work, w)
		}
	}
	return work
}
