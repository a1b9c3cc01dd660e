package rulesetapi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/dapi"
)

// counting gives a shelf that counts how often files are read.
func counting() (*shelf[rule], *int) {
	n := 0
	s := newShelf(libraryLimits{kept: 1 << 20, file: 1 << 20}, func(f file, text []byte) ([]rule, error) {
		n++
		return parseRules(f, text)
	}, orderRules)
	return s, &n
}

func TestShelf_ReadsWhatHasChanged(t *testing.T) {
	w := newWorld(t)
	s, read := counting()
	list := func(names ...string) (files []file) {
		for _, name := range names {
			files = append(files, file{dir: "etc/rules", name: name})
		}
		return files
	}
	expect := func(what string, files []file, reads, rules int) {
		t.Helper()
		*read = 0
		items, broken, err := s.load(context.Background(), w.api.disk, files)
		if err != nil {
			t.Fatal(err)
		}
		if *read != reads || len(items) != rules || len(broken) > 0 {
			t.Errorf("%s: %d files read, want %d; %d rules, want %d; broken %v", what, *read, reads, len(items), rules, broken)
		}
	}
	both := list("local_rules.xml", "web/web_rules.xml")
	expect("just written", both, 2, 2)
	expect("still as good as just written", both, 2, 2)
	w.later()
	expect("read for good", both, 2, 2)
	expect("the same", both, 0, 2)
	expect("one of them", both[:1], 0, 1)
	expect("the other is no longer kept", both, 1, 2)

	// As long as before, and with the times of before.
	at := filepath.Join(w.dir, "etc/rules/local_rules.xml")
	info, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := w.read("etc/rules/local_rules.xml")
	w.write("etc/rules/local_rules.xml", "<!--"+text[len("<!---->"):]+"-->")
	if err := os.Chtimes(at, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	w.later()
	expect("changed in place", both, 1, 1)
	excluded := list("local_rules.xml", "web/web_rules.xml")
	excluded[1].disabled = true
	expect("excluded now", excluded, 1, 1)
}

// A request that nobody waits for any more ends between two files, and what it
// has read is not read again.
func TestShelf_AskerGone(t *testing.T) {
	w := newWorld(t)
	w.later()
	ctx, cancel := context.WithCancel(context.Background())
	read := 0
	s := newShelf(libraryLimits{kept: 1 << 20, file: 1 << 20}, func(f file, text []byte) ([]rule, error) {
		read++
		cancel()
		return parseRules(f, text)
	}, nil)
	files := []file{{dir: "etc/rules", name: "local_rules.xml"}, {dir: "etc/rules/web", name: "web_rules.xml"}}
	if _, _, err := s.load(ctx, w.api.disk, files); !errors.Is(err, context.Canceled) || read != 1 {
		t.Errorf("%d files read, %v; want 1 and the context's error", read, err)
	}
	if items, _, err := s.load(context.Background(), w.api.disk, files); len(items) != 2 || read != 2 || err != nil {
		t.Errorf("%d rules, %d files read, %v; want 2 and 2", len(items), read, err)
	}
}

// What is kept decoded has a bound; beyond it items are decoded each time.
func TestValues_Bounded(t *testing.T) {
	v := newValues()
	v.room = 10
	first, second := []byte(`{"a": 1}`), []byte(`{"b": 2}`)
	for range 2 {
		for _, item := range [][]byte{first, second} {
			if value, err := v.of(item); err != nil || len(value.(map[string]any)) != 1 {
				t.Fatalf("%s: %v, %v", item, value, err)
			}
		}
	}
	if len(v.kept) != 1 || v.room != 2 {
		t.Errorf("%d items kept, room for %d more bytes; want 1 and 2", len(v.kept), v.room)
	}
}

// All functions are in a registry by the names of the original, and say what
// they need.
func TestFunctions_Registry(t *testing.T) {
	registry, err := dapi.NewRegistry(New(Config{}).Functions()...)
	if err != nil {
		t.Fatal(err)
	}
	list := registry.Functions()
	if len(list) != 17 {
		t.Errorf("%d functions, want 17", len(list))
	}
	for _, f := range list {
		writes := strings.HasPrefix(f.Name, "upload_") || strings.HasPrefix(f.Name, "delete_")
		if writes && f.Type != dapi.LocalMaster || len(f.Needs) == 0 || f.Async || f.Client != "" {
			t.Errorf("%s: type %s, needs %v, async %v, client %q", f.Key(), f.Type, f.Needs, f.Async, f.Client)
		}
	}
}
