package groups_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/atomicfile"
	"testudo/internal/groups"
)

// combinations gives a store the method that a Builder wants, as a node does.
type combinations struct{ store *agentdb.Store }

func (c combinations) DistinctGroups(ctx context.Context, after string) ([]byte, bool, error) {
	page, err := c.store.DistinctGroups(ctx, after)
	return page.JSON, page.More, err
}

// Against the database that a node keeps: more combinations than fit a page.
func TestBuilder_OverARealDatabase(t *testing.T) {
	home := t.TempDir()
	for _, dir := range []string{"queue/db", "etc/shared/default", "etc/shared/web", "var"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	store, err := agentdb.Open(t.Context(), agentdb.Options{Path: filepath.Join(home, "queue/db/global.db"), Master: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- store.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	const many = 400
	var change agentdb.GroupChange
	change.Mode, change.Sync = "override", "syncreq"
	for _, name := range []string{"default", "web"} {
		if err := store.InsertGroup(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range many {
		name, id := fmt.Sprint(strings.Repeat("long-", 40), i), agent.ID(i+1)
		if err := store.InsertGroup(ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(home, "etc/shared", name), 0o770); err != nil {
			t.Fatal(err)
		}
		if err := store.InsertAgent(ctx, agentdb.NewAgent{ID: id, Name: name}); err != nil {
			t.Fatal(err)
		}
		change.Data = append(change.Data, agentdb.AgentGroups{ID: id, Groups: []string{"default", name}})
	}
	change.Data[0].Groups = []string{"default", "web"}
	if err := store.SetGroups(ctx, change); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	b := groups.NewBuilder(groups.Config{
		Home: root, Source: combinations{store}, Owner: groups.Owner{UID: atomicfile.Keep, GID: atomicfile.Keep},
	})
	result, err := b.Scan(ctx)
	want := groups.Result{Groups: many + 2, Multigroups: many, Written: 2*many + 2}
	if err != nil || result != want {
		t.Errorf("got %+v, want %+v; %v", result, want, err)
	}
	got, err := os.ReadFile(filepath.Join(home, agent.MultigroupDir("default,web"), "merged.mg"))
	if err != nil || string(got) != "#5288d400\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
