package integrity

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

// growing is a Tree with a file that is another one at each look.
type growing struct {
	Tree
	size  int64
	scans int
}

func (g *growing) Scan(context.Context) (*filetree.Scan, error) {
	g.scans++
	g.size++
	m, err := manifest.New([]manifest.Entry{{Path: "etc/client.keys", ItemKey: "etc/", Size: g.size}})
	return &filetree.Scan{Manifest: m, HashedBytes: g.size}, err
}

func (*growing) Quiet(time.Time) bool { return false }

func (*growing) Watch(ctx context.Context, changed chan<- struct{}) error {
	return restlessTree{every: 2 * settle, span: time.Hour}.Watch(ctx, changed)
}

type noStates struct{}

func (noStates) Set(string, iter.Seq[filestate.Row]) {}
func (noStates) SetNode(filestate.NodeState)         {}
func (noStates) Epoch() uint64                       { return 0 }

// The watch is heard at once where little has changed. A large file that changes
// all the time is left alone for as long as all of it may take; the period is kept.
func TestLocal_RestsBetweenLargeChanges(t *testing.T) {
	for name, c := range map[string]struct {
		size  int64
		scans int // in ten seconds
	}{
		"a rule": {2 << 10, 100}, "8 MiB": {8 << 20, 19}, "1 GiB": {1 << 30, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree := &growing{size: c.size}
				log := slog.New(slog.NewTextHandler(io.Discard, nil))
				l := &local{
					cfg: MasterConfig{Recalculate: time.Hour, Watch: true, States: noStates{}}, tree: tree, log: log, started: time.Now(),
					away: away{states: noStates{}}, waiting: make(map[chan<- struct{}]struct{}), guard: shrinkGuard{log: log},
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := l.run(ctx); err != nil {
					t.Fatal(err)
				}
				if tree.scans < c.scans*9/10 || tree.scans > c.scans*11/10+1 {
					t.Errorf("looked %d times in ten seconds, want about %d", tree.scans, c.scans)
				}
			})
		})
	}
}
