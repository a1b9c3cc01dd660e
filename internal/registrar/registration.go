package registrar

import (
	"context"
	"sync"

	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

// Registration is an agent that has a key, and is to be told. Whoever tells it
// calls Delivered or Lost, once; a later call of either does nothing.
type Registration struct {
	Entry   keystore.Entry
	Address string // as the reply shows it: with its prefix length as asked for

	once      sync.Once
	delivered func()
	lost      func(context.Context)
}

// Answer is the reply to the agent (docs/enrolment.md §4). It holds the key.
func (r *Registration) Answer() []byte {
	return enrolment.Accepted(r.Entry.ID, r.Entry.Name, r.Address, r.Entry.Secret)
}

// Delivered says that the agent has its key.
func (r *Registration) Delivered() {
	r.once.Do(func() {
		if r.delivered != nil {
			r.delivered()
		}
	})
}

// Lost says that the agent does not have its key: nothing of the agent stays,
// unless ctx ends before that is done.
func (r *Registration) Lost(ctx context.Context) {
	r.once.Do(func() {
		if r.lost != nil {
			r.lost(ctx)
		}
	})
}
