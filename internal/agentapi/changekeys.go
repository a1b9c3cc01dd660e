package agentapi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/groups"
	"testudo/internal/home"
	"testudo/internal/result"
)

// keysSettle is how old a client.keys must be to be remembered: a younger one
// may change again without a change of its time.
const keysSettle = 2 * time.Second

// keyFile remembers which agents client.keys has.
type keyFile struct {
	mu   sync.Mutex
	of   os.FileInfo // what was read, nil for nothing that may be kept
	have map[agent.ID]struct{}
}

// enrolled gives the agents that have a key, and the manager. The map is not to
// be changed.
func (k *keyFile) enrolled(root *os.Root) (map[agent.ID]struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := root.Stat(home.KeysPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return map[agent.ID]struct{}{agent.Manager: {}}, nil
	case err != nil:
		return nil, fmt.Errorf("read the agents' keys: %w", err)
	}
	if k.of != nil && os.SameFile(k.of, info) && k.of.Size() == info.Size() && k.of.ModTime().Equal(info.ModTime()) {
		return k.have, nil
	}
	file, err := root.Open(home.KeysPath)
	if err != nil {
		return nil, fmt.Errorf("read the agents' keys: %w", err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, fmt.Errorf("read the agents' keys: %w", err)
	}
	have := map[agent.ID]struct{}{agent.Manager: {}}
	if _, err := agent.ReadKeys(file, agent.KeyLimits{}, func(key agent.Key) {
		if !key.Removed {
			have[key.ID] = struct{}{}
		}
	}); err != nil {
		return nil, fmt.Errorf("read the agents' keys: %w", err)
	}
	k.have, k.of = have, nil
	if time.Since(info.ModTime()) > keysSettle {
		k.of = info
	}
	return have, nil
}

// allAgents lists the agents that have a key, and the manager.
func (x *Changes) allAgents() ([]string, error) {
	have, err := x.keys.enrolled(x.cfg.Home)
	if err != nil {
		return nil, err
	}
	ids := make([]agent.ID, 0, len(have))
	for id := range have {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return names, nil
}

// known tells whether a text is the id of an agent that has a key. Only the
// form with three digits or more counts.
func known(have map[agent.ID]struct{}, text string) (agent.ID, bool) {
	id, err := agent.ParseID(text)
	if err != nil || id.String() != text {
		return 0, false
	}
	_, ok := have[id]
	return id, ok
}

// enrolled gives the agents among texts that have a key; the manager (1703) and
// the others (1701) fail.
func (x *Changes) enrolled(texts []string, r *result.Affected) ([]agent.ID, error) {
	have, err := x.keys.enrolled(x.cfg.Home)
	if err != nil {
		return nil, err
	}
	if slices.Contains(texts, agent.Manager.String()) {
		fail(r, fault.ManagerAgent, agent.Manager.String())
	}
	ids := make([]agent.ID, 0, len(texts))
	for _, text := range texts {
		switch id, ok := known(have, text); {
		case !ok:
			fail(r, fault.UnknownAgent, text)
		case id != agent.Manager:
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// isGroup tells whether there is a group of the name.
func (x *Changes) isGroup(name string) bool {
	if groups.CheckName(name) != nil {
		return false
	}
	info, err := x.cfg.Home.Lstat(sharedDir + "/" + name)
	return err == nil && info.IsDir()
}
