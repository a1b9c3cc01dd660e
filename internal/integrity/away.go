package integrity

import (
	"sync"

	"testudo/internal/filestate"
	"testudo/internal/manifest"
)

// mostAway bounds how many absent workers are remembered.
const mostAway = 256

// away remembers what workers had when they left, so that what is shown of
// them stays true while the master's files change.
type away struct {
	states States

	mu   sync.Mutex
	had  map[string]*manifest.Manifest
	node map[string]filestate.NodeState
}

// left takes down a worker that was in step with m; nil when it was not.
func (a *away) left(n filestate.NodeState, m *manifest.Manifest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m == nil || len(a.had) >= mostAway {
		return
	}
	if a.had == nil {
		a.had, a.node = make(map[string]*manifest.Manifest), make(map[string]filestate.NodeState)
	}
	a.had[n.Node], a.node[n.Node] = m, n
}

func (a *away) returned(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.had, name)
	delete(a.node, name)
}

// show brings the pictures of the absent up to a new generation.
func (a *away) show(g *generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, m := range a.had {
		d := manifest.Compare(g.manifest, m)
		n := a.node[name]
		n.Files = g.manifest.Len() - len(d.Missing) - len(d.Shared)
		a.states.Set(name, pictureOf(name, g, d, nil))
		a.states.SetNode(n)
	}
}
