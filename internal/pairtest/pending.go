package pairtest

import (
	"cmp"
	"maps"
	"slices"
)

// Pending is which rows of a fake database are to be sent. Whoever uses it holds
// the database's lock, also while it calls what Take returns.
type Pending[K cmp.Ordered] struct {
	version  int
	versions map[K]int
}

// Change says that a row is to be sent, in the form that it has now.
func (p *Pending[K]) Change(key K) {
	if p.versions == nil {
		p.versions = map[K]int{}
	}
	p.version++
	p.versions[key] = p.version
}

// Remove says that a row is gone.
func (p *Pending[K]) Remove(key K) { delete(p.versions, key) }

// Len is how many rows are to be sent.
func (p *Pending[K]) Len() int { return len(p.versions) }

// Keys are these rows in their order.
func (p *Pending[K]) Keys() []K { return slices.Sorted(maps.Keys(p.versions)) }

// Take says that rows are on their way. When they have arrived, those that have
// not changed since need not be sent any more: arrived gives them.
func (p *Pending[K]) Take(keys []K) (arrived func() []K) {
	sent := make(map[K]int, len(keys))
	for _, key := range keys {
		sent[key] = p.versions[key]
	}
	return func() (done []K) {
		for key, version := range sent {
			if p.versions[key] == version {
				delete(p.versions, key)
				done = append(done, key)
			}
		}
		return done
	}
}
