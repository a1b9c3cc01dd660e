package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"testudo/internal/agent"
	"testudo/internal/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("database is away")

// store is a database of agents and groups.
type store struct {
	mu      sync.Mutex
	names   map[agent.ID]string
	keys    map[agent.ID]agent.Key
	added   map[agent.ID]int64
	groups  []string
	self    map[string]string
	looks   int // times that all agents were read
	down    bool
	refuse  map[agent.ID]bool
	busiest int
	busy    int
}

func newStore() *store {
	return &store{
		names: map[agent.ID]string{0: "localhost"}, keys: map[agent.ID]agent.Key{}, added: map[agent.ID]int64{},
		groups: []string{"default"}, refuse: map[agent.ID]bool{},
	}
}

func (s *store) do(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	return f()
}

func (s *store) EachAgent(_ context.Context, f func(agent.ID, string)) error {
	return s.do(func() error {
		s.looks++
		for id, name := range s.names {
			f(id, name)
		}
		return nil
	})
}

func (s *store) AddAgent(_ context.Context, key agent.Key, added int64) error {
	s.mu.Lock()
	s.busy++
	s.busiest = max(s.busiest, s.busy)
	s.mu.Unlock()
	return s.do(func() error {
		s.busy--
		if _, there := s.names[key.ID]; there || s.refuse[key.ID] {
			return fmt.Errorf("constraint of %v", key.ID)
		}
		s.names[key.ID], s.keys[key.ID], s.added[key.ID] = key.Name, key, added
		return nil
	})
}

func (s *store) RenameAgent(_ context.Context, id agent.ID, name string) error {
	return s.do(func() error {
		s.names[id] = name
		return nil
	})
}

func (s *store) DeleteAgent(_ context.Context, id agent.ID) error {
	return s.do(func() error {
		delete(s.names, id)
		return nil
	})
}

func (s *store) GroupNames(context.Context) (names []string, err error) {
	err = s.do(func() error {
		names = slices.Clone(s.groups)
		return nil
	})
	return names, err
}

func (s *store) InsertGroup(_ context.Context, name string) error {
	return s.do(func() error {
		s.groups = append(s.groups, name)
		return nil
	})
}

func (s *store) DeleteGroup(_ context.Context, name string) error {
	return s.do(func() error {
		s.groups = slices.DeleteFunc(s.groups, func(have string) bool { return have == name })
		return nil
	})
}

func (s *store) UpdateSelf(_ context.Context, columns map[string]string) error {
	return s.do(func() error {
		s.self = maps.Clone(columns)
		return nil
	})
}

// agents lists the ids and names but agent 0's.
func (s *store) agents() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, id := range slices.Sorted(maps.Keys(s.names)) {
		if id != 0 {
			words = append(words, id.String()+"="+s.names[id])
		}
	}
	return strings.Join(words, " ")
}

// world is a home with a database and a Reconciler.
type world struct {
	t     testing.TB
	dir   string
	db    *store
	board *health.Board
	gone  []agent.ID
	mu    sync.Mutex
	*Reconciler
}

func newWorld(t testing.TB, master bool) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), db: newStore(), board: health.New()}
	for _, dir := range []string{"etc/shared/default", "queue/rids", "queue/diff"} {
		if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	w.Reconciler = New(Config{
		Home: root, Master: master, NodeName: "n1", Version: "4.7.5", Agents: w.db, Groups: w.db, Self: w.db, Health: w.board,
		Removed: func(_ context.Context, id agent.ID) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.gone = append(w.gone, id)
			return nil
		},
	})
	return w
}

func (w *world) put(name, text string) {
	w.t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o770); err != nil {
		w.t.Fatal(err)
	}
	// As everybody does: another file in its place.
	if err := os.WriteFile(name+".new", []byte(text), 0o640); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) there(name string) bool {
	_, err := os.Lstat(filepath.Join(w.dir, name))
	return err == nil
}

func (w *world) round() Result {
	w.t.Helper()
	result, err := w.Round(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// wants compares the agents of the database, as "ID=NAME ID=NAME".
func (w *world) wants(when, agents string) {
	w.t.Helper()
	if got := w.db.agents(); got != agents {
		w.t.Errorf("%s: agents are %s, want %s", when, got, agents)
	}
}

func (w *world) conditions() (names []string) {
	for _, c := range w.board.All() {
		names = append(names, c.Name)
	}
	return names
}

// keyLines writes n lines of client.keys from id first on.
func keyLines(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "%03d agent-%d any %064x\n", i, i, i)
	}
	return b.String()
}
