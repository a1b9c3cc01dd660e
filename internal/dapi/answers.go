package dapi

import "sync"

// answers bounds the bytes of all answers that this node holds. One asker may
// hold half of them, or a single one that is larger.
type answers struct {
	most int64

	mu   sync.Mutex
	held int64
	by   map[string]int64
}

// hold counts an answer until release is called, or says that there is no room.
func (a *answers) hold(asker string, size int) (release func(), err error) {
	n := int64(size)
	a.mu.Lock()
	defer a.mu.Unlock()
	mine := a.by[asker]
	switch {
	case n > a.most:
		return nil, busy("an answer of %d bytes, at most %d", n, a.most)
	case a.held+n > a.most, mine > 0 && mine+n > a.most/2:
		return nil, busy("answers of %d bytes are on their way", a.held)
	}
	if a.by == nil {
		a.by = make(map[string]int64)
	}
	a.by[asker] = mine + n
	a.held += n
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.held -= n
		if a.by[asker] -= n; a.by[asker] == 0 {
			delete(a.by, asker)
		}
	}), nil
}
