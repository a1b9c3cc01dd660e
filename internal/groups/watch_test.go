package groups

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

// told is a log that passes its messages on.
type told chan string

func (told) Enabled(context.Context, slog.Level) bool { return true }
func (t told) WithAttrs([]slog.Attr) slog.Handler     { return t }
func (t told) WithGroup(string) slog.Handler          { return t }
func (t told) Handle(_ context.Context, r slog.Record) error {
	t <- r.Message
	return nil
}

// A change is merged long before the next look, when the directories are
// watched.
func TestBuilder_HearsOfChanges(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/default/agent.conf", confText)
	tree, err := filetree.Open(w.dir, filetree.Options{Items: manifest.DefaultItems()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}()
	log := make(told, 100)
	w.log = slog.New(log)
	w.cfg.Reload = time.Hour
	watching := make(chan struct{})
	w.cfg.Watch = func(ctx context.Context, changed chan<- struct{}) error {
		close(watching)
		return tree.Watch(ctx, changed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	<-watching
	if message := <-log; message != "Group files merged." {
		t.Errorf("log says %q", message)
	}
	limit := time.After(20 * time.Second)
	again := time.NewTicker(50 * time.Millisecond) // the watch may not have begun
	defer again.Stop()
	for n := 0; ; n++ {
		select {
		case <-again.C:
			if err := Create(w.root, "web", ours); err == nil {
				continue
			}
			w.put("etc/shared/web/agent.conf", confText+string(rune('a'+n%26)))
		case message := <-log:
			if message != "Group files merged." {
				t.Errorf("log says %q", message)
			}
			return
		case <-limit:
			t.Fatal("a changed file was not heard of")
		}
	}
}
