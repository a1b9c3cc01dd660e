package groups

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
	"testudo/internal/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ours = Owner{atomicfile.Keep, atomicfile.Keep}

// world is a home with a Builder.
type world struct {
	t      testing.TB
	dir    string
	root   *os.Root
	source *combinationSource
	board  *health.Board
	*Builder
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), source: &combinationSource{}, board: health.New()}
	for _, dir := range []string{sharedDir + "/default", "var"} {
		if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	w.root = root
	w.Builder = NewBuilder(Config{Home: root, Source: w.source, Owner: ours, Log: slog.New(slog.DiscardHandler), Health: w.board})
	w.shrinkWait = 0
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// put writes a file and the directories to it.
func (w *world) put(name, text string) {
	w.t.Helper()
	name = w.path(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o770); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o660); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	data, err := os.ReadFile(w.path(name))
	if err != nil {
		return "(" + filepath.Base(err.Error()) + ")"
	}
	return string(data)
}

func (w *world) scan() Result {
	w.t.Helper()
	r, err := w.Scan(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// combinationSource gives out combinations of groups, a few a page.
type combinationSource struct {
	mu    sync.Mutex
	texts []string
	err   error
	asked int
	page  int // rows of a page; 2 unless set
}

func (c *combinationSource) set(texts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = texts
}

func (c *combinationSource) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func (c *combinationSource) DistinctGroups(_ context.Context, after string) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	type row struct {
		Group string `json:"group"`
		Hash  string `json:"group_hash"`
	}
	rows := []row{}
	for _, text := range c.texts {
		if hash := agent.GroupHash(text); hash > after {
			rows = append(rows, row{text, hash})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.Hash, b.Hash) })
	size := max(c.page, 2)
	more := len(rows) > size
	if more {
		rows = rows[:size]
	}
	page, err := json.Marshal(rows)
	if c.err != nil {
		err = c.err
	}
	return page, more, err
}
