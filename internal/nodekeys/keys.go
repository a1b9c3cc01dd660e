package nodekeys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
	"testudo/internal/config"
	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

var (
	// ErrNobody is returned when no process registers agents.
	ErrNobody = errors.New("nobody registers agents")
	// ErrWorker is returned for changes on a worker.
	ErrWorker = errors.New("agents get their keys from the master")
	// ErrGroups is returned for groups when nobody registers agents: they are kept
	// in a node's database.
	ErrGroups = errors.New("groups can be given by a node that runs only")
)

// Origin says where keys are changed.
type Origin string

// The origins.
const (
	Served Origin = "service" // by whoever registers agents, a node or the original's daemon
	File   Origin = "file"    // in the file, as nobody does
)

// Addition is an agent that is to have a key.
type Addition struct {
	ID      string // "" for the next
	Name    string
	Address string       // "" for any
	Key     agent.Secret // empty for a new one
	Groups  []string
	Replace bool // agents in the way are removed
}

// backend is one origin.
type backend interface {
	add(ctx context.Context, a Addition) (agent.Key, error)
	remove(ctx context.Context, id string, purge bool) error
	close() error
}

// Keys changes the keys of one home. It is safe for concurrent use.
type Keys struct {
	home    string
	origin  Origin
	backend backend
}

// Open prepares to change the keys of the master that lives in a directory:
// through the socket, else in its file. The error is ErrWorker in the home of a
// worker, where neither has a meaning.
func Open(ctx context.Context, dir string) (*Keys, error) {
	cfg, problems := config.Load(config.LoadOptions{Home: dir})
	switch {
	case config.HasErrors(problems):
		return nil, fmt.Errorf("whether %s is a master's home cannot be told, as its configuration has errors; 'testudo node -t' shows them", dir)
	case !cfg.Cluster.Disabled && cfg.Cluster.Role != config.Master:
		return nil, ErrWorker
	}
	s := served{path: socketOf(dir)}
	err := s.look(ctx)
	if err == nil {
		return &Keys{dir, Served, s}, nil
	}
	if !errors.Is(err, ErrNobody) {
		return nil, err
	}
	f, err := openFile(ctx, dir, cfg)
	if err != nil {
		return nil, err
	}
	return &Keys{dir, File, f}, nil
}

// Home is the directory whose keys these are.
func (k *Keys) Home() string { return k.home }

// Origin says where the keys are changed.
func (k *Keys) Origin() Origin { return k.origin }

// Close ends it.
func (k *Keys) Close() error { return k.backend.close() }

// Add gives an agent a key and returns it.
func (k *Keys) Add(ctx context.Context, a Addition) (agent.Key, error) {
	if a.Address == "" {
		a.Address = enrolment.AnyAddress
	}
	if err := enrolment.CheckName(a.Name); err != nil {
		return agent.Key{}, refusal(err)
	}
	if _, err := enrolment.ParseAddress(a.Address); err != nil {
		return agent.Key{}, err
	}
	return k.backend.add(ctx, a)
}

// Remove takes a key away. The id is as client.keys has it; purge lets no line of
// the agent stay.
func (k *Keys) Remove(ctx context.Context, id string, purge bool) error {
	return k.backend.remove(ctx, id, purge)
}

// parallel is how many changes are asked for at a time: those that wait together
// share a write.
const parallel = 64

// RemoveAll purges many agents and tells how many of them it did; one that is gone
// already is no error. progress is called for one after the other; it may be nil.
func (k *Keys) RemoveAll(ctx context.Context, ids []string, progress func(done, total int)) (int, error) {
	var mu sync.Mutex
	removed := 0
	err := k.each(ctx, len(ids), func(ctx context.Context, i int) error {
		err := k.Remove(ctx, ids[i], true)
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove agent %s: %w", ids[i], err)
		}
		mu.Lock()
		defer mu.Unlock()
		removed++
		if progress != nil {
			progress(removed, len(ids))
		}
		return nil
	})
	return removed, err
}

// each does something so many times, some at a time. The first error ends it.
func (k *Keys) each(ctx context.Context, count int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(parallel, count) {
		g.Go(func() error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return nil
				}
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		})
	}
	return g.Wait()
}

// Outcome is what became of a key that was imported.
type Outcome int

// The outcomes.
const (
	Added  Outcome = iota
	Kept           // the agent has this key already
	Failed         // there is an error that says why
)

// Import adds agents with the ids and keys that they have, and tells of each what
// became of it, in their order. The error is of ctx or of reading what is there.
func (k *Keys) Import(ctx context.Context, list []agent.Key, replace bool, tell func(agent.Key, Outcome, error)) error {
	known := holders{byText: map[string]agent.Key{}, byID: map[agent.ID]agent.Key{}}
	if _, err := Each(k.home, known.add); err != nil {
		return err
	}
	var mu sync.Mutex
	failed := known.otherwiseWritten(list)
	outcomes := make([]Outcome, len(list))
	err := k.each(ctx, len(list), func(ctx context.Context, i int) error {
		want := list[i]
		mu.Lock()
		_, refused := failed[i]
		mu.Unlock()
		if refused {
			outcomes[i] = Failed
			return nil
		}
		if p, ok := known.byText[want.Text]; ok && p.Name == want.Name && p.Secret.Equal(want.Secret) {
			outcomes[i] = Kept
			return nil
		}
		_, err := k.Add(ctx, Addition{ID: want.Text, Name: want.Name, Address: want.Address, Key: want.Secret, Replace: replace})
		if err != nil {
			outcomes[i] = Failed
			mu.Lock()
			defer mu.Unlock()
			failed[i] = err
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for i, want := range list {
		tell(want, outcomes[i], failed[i])
	}
	return nil
}

// holders are the agents that have ids.
type holders struct {
	byText map[string]agent.Key
	byID   map[agent.ID]agent.Key
}

func (h holders) add(k agent.Key) {
	if k.Removed {
		return
	}
	h.byText[k.Text] = k
	if _, taken := h.byID[k.ID]; !taken {
		h.byID[k.ID] = k
	}
}

// otherwiseWritten gives an error for each key of a list whose id somebody has who
// writes it in another way: "7" and "007" are one agent to the database.
func (h holders) otherwiseWritten(list []agent.Key) map[int]error {
	failed := map[int]error{}
	for i, want := range list {
		if holder, taken := h.byID[want.ID]; taken && holder.Text != want.Text {
			present := keystore.Entry{ID: holder.Text, Name: holder.Name}
			failed[i] = fmt.Errorf("%w; %s and %s are the same", &keystore.ConflictError{Err: keystore.ErrDuplicateID, Present: present}, want.Text, holder.Text)
			continue
		}
		if _, taken := h.byID[want.ID]; !taken {
			h.byID[want.ID] = want
		}
	}
	return failed
}
