package keystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
)

// write gives a home a file.
func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// holds demands the text of a file of a home.
func holds(t testing.TB, dir, name, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
	}
}

func text(e Entry) string { return newLine(e, live).text + "\n" }

func mustAdd(t testing.TB, s *Store, a Addition) Entry {
	t.Helper()
	e, err := s.Add(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// died leaves the mark of a store that was not closed.
func died(t *testing.T, dir string, highest int) {
	t.Helper()
	data, err := json.Marshal(mark{Highest: highest, Open: true})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, markPath, string(data))
}

func TestAdd_AppendsAndRemoveRewrites(t *testing.T) {
	root, dir := home(t)
	head := "# keys of the site\n007 web-01 any aa\n003 !old any bb\n\n broken line that goes\nbroken\n008 db-01 10.0.0.0/24 cc\n"
	write(t, dir, keysPath, head)
	if err := os.Chmod(filepath.Join(dir, keysPath), 0o664); err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, root, Options{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.Local) }})
	e := mustAdd(t, s, newcomer("new", "any"))
	if e.ID != "009" {
		t.Error(e.ID)
	}
	holds(t, dir, keysPath, head+"009 new any key-of-new\n")
	holds(t, dir, timestampsPath, "009 new any 2026-01-02 03:04:05\n")
	holds(t, dir, markPath, `{"highest":8,"open":true}`+"\n")
	if _, err := s.Remove(t.Context(), "007", false); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, keysPath, "# keys of the site\nbroken\n008 db-01 10.0.0.0/24 cc\n009 new any key-of-new\n003 !old any bb\n007 !web-01 any aa\n")
	if _, err := s.Remove(t.Context(), "009", true); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, keysPath, "# keys of the site\nbroken\n008 db-01 10.0.0.0/24 cc\n003 !old any bb\n007 !web-01 any aa\n")
	holds(t, dir, markPath, `{"highest":9,"open":true}`+"\n")
	holds(t, dir, timestampsPath, "")
	stop()
	holds(t, dir, markPath, `{"highest":9,"open":false}`+"\n")
	if info, _ := os.Stat(filepath.Join(dir, keysPath)); info.Mode() != 0o664 {
		t.Errorf("mode %v", info.Mode())
	}
	s, _ = start(t, root, Options{})
	if e := mustAdd(t, s, newcomer("next", "any")); e.ID != "010" {
		t.Errorf("id %s is given twice", e.ID)
	}
}

func TestRemove_PurgeConfigured(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "001 a any aa\n002 !b any bb\n003 c any cc\n")
	s, _ := start(t, root, Options{Purge: true})
	if e := mustAdd(t, s, newcomer("d", "any")); e.ID != "004" {
		t.Error(e.ID)
	}
	if _, err := s.Remove(t.Context(), "001", false); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, keysPath, "003 c any cc\n004 d any key-of-d\n")
}

func TestAdd_Ids(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "007 a any aa\n900000000 nine any bb\n012 !gone any cc\n")
	s, _ := start(t, root, Options{})
	for _, tc := range []struct{ asked, want string }{
		{"", "013"}, {"500", "500"}, {"", "501"}, {"7", "7"}, {"20", "20"}, {"", "502"}, {"012", "012"}, {"99999998", "99999998"}, {"", "99999999"},
	} {
		a := newcomer("agent-"+tc.want, "any")
		a.ID = tc.asked
		if e := mustAdd(t, s, a); e.ID != tc.want {
			t.Errorf("asked for %q, got %q, want %q", tc.asked, e.ID, tc.want)
		}
	}
	if _, err := s.Add(t.Context(), newcomer("one-too-many", "any")); !errors.Is(err, ErrNoID) {
		t.Error(err)
	}
}

func TestAdd_Conflicts(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "001 a 10.0.0.7 aa\n002 b 10.1.0.0/16 bb\n003 !gone 10.0.0.9 cc\n")
	s, _ := start(t, root, Options{})
	for _, tc := range []struct {
		id, name, address, asked string
		want                     error
		present                  string
	}{
		{"001", "x", "any", "", ErrDuplicateID, "001"},
		{"", "a", "any", "", ErrDuplicateName, "001"},
		{"", "x", "10.0.0.7", "", ErrDuplicateAddress, "001"},
		{"", "b", "10.0.0.7", "", ErrDuplicateAddress, "001"}, // the address before the name
		{"", "x", "10.1.0.0", "", ErrDuplicateAddress, "002"},
		{"", "net", "10.1.0.0/16", "", nil, ""},
		{"", "same", "10.0.0.7", "10.0.0.7/32", nil, ""},
		{"1", "one", "any", "", nil, ""},
		{"003", "gone", "10.0.0.9", "", nil, ""},
	} {
		a := newcomer(tc.name, tc.address)
		a.ID, a.Asked = tc.id, tc.asked
		_, err := s.Add(t.Context(), a)
		if !errors.Is(err, tc.want) {
			t.Errorf("%+v: %v", tc, err)
		}
		if c, ok := errors.AsType[*ConflictError](err); ok != (tc.want != nil) || ok && c.Present.ID != tc.present {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

func TestAdd_Replace(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "001 a 10.0.0.7 aa\n002 b any bb\n003 c any cc\n")
	s, _ := start(t, root, Options{})
	one, _ := s.ByID("001")
	two, _ := s.ByID("002")
	a := newcomer("b", "10.0.0.7")
	a.Replace = []Entry{one, two}
	if e := mustAdd(t, s, a); e.ID != "004" {
		t.Error(e.ID)
	}
	want := "003 c any cc\n004 b 10.0.0.7 key-of-b\n001 !a 10.0.0.7 aa\n002 !b any bb\n"
	holds(t, dir, keysPath, want)

	// One that has changed since it was seen stays, and is in the way.
	three, _ := s.ByID("003")
	three.Secret = agent.NewSecret("another")
	a = newcomer("c", "any")
	a.Replace = []Entry{three}
	if _, err := s.Add(t.Context(), a); !errors.Is(err, ErrDuplicateName) {
		t.Error(err)
	}
	// One that could go stays when another is in the way.
	three, _ = s.ByID("003")
	a = newcomer("b", "any")
	a.Replace = []Entry{three}
	if _, err := s.Add(t.Context(), a); !errors.Is(err, ErrDuplicateName) {
		t.Error(err)
	}
	if err := s.RemoveExactly(t.Context(), Entry{ID: "003", Name: "else"}, true); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	holds(t, dir, keysPath, want)
	if err := s.RemoveExactly(t.Context(), three, true); err != nil {
		t.Error(err)
	}
}

func TestAdd_WhatWouldSpoilTheFile(t *testing.T) {
	root, _ := home(t)
	s, _ := start(t, root, Options{})
	good := newcomer("name", "any").Entry
	for _, change := range []func(*Entry){
		func(e *Entry) { e.ID = "abc" }, func(e *Entry) { e.ID = "-1" }, func(e *Entry) { e.ID = "123456789" },
		func(e *Entry) { e.Name = "" }, func(e *Entry) { e.Name = "a b" }, func(e *Entry) { e.Name = "a\n" }, func(e *Entry) { e.Name = "!a" }, func(e *Entry) { e.Name = "#a" },
		func(e *Entry) { e.Address = "" }, func(e *Entry) { e.Address = "10.0.0.1 x" }, func(e *Entry) { e.Address = "!10.0.0.1" },
		func(e *Entry) { e.Secret = agent.NewSecret("") }, func(e *Entry) { e.Secret = agent.NewSecret("a b") },
		func(e *Entry) { e.Name = strings.Repeat("x", maxLine) },
	} {
		e := good
		change(&e)
		if _, err := s.Add(t.Context(), Addition{Entry: e}); !errors.Is(err, ErrEntry) {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if s.Len() != 0 {
		t.Error(s.Len())
	}
}

func TestOutsideEdits(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "001 a any aa\n")
	s, _ := start(t, root, Options{})
	mustAdd(t, s, newcomer("b", "any"))

	// Without an end of line, which comes with the next addition.
	write(t, dir, keysPath, "001 a any aa\n050 hand any hh")
	if e := mustAdd(t, s, newcomer("c", "any")); e.ID != "051" {
		t.Error(e.ID)
	}
	holds(t, dir, keysPath, "001 a any aa\n050 hand any hh\n051 c any key-of-c\n")
	select {
	case <-s.Changed():
	default:
		t.Error("no hint")
	}
	if _, ok := s.ByName("b"); ok {
		t.Error("b is still there")
	}

	// In place of it, by a rename; the highest id goes and is not given again.
	write(t, dir, "etc/new", "001 a any aa\n")
	if err := os.Rename(filepath.Join(dir, "etc/new"), filepath.Join(dir, keysPath)); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Len() != 1 {
		t.Error(s.Len())
	}
	if e := mustAdd(t, s, newcomer("d", "any")); e.ID != "052" {
		t.Error(e.ID)
	}
	// A file that is gone comes back whole.
	if err := os.Remove(filepath.Join(dir, keysPath)); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, newcomer("e", "any"))
	holds(t, dir, keysPath, "001 a any aa\n052 d any key-of-d\n053 e any key-of-e\n")
}

// Every store of a home sees what the others write; the mark stays until the last
// is closed.
func TestTwoStoresOfAHome(t *testing.T) {
	root, dir := home(t)
	node, stopNode := start(t, root, Options{})
	mustAdd(t, node, newcomer("a", "any"))
	tool, stopTool := start(t, root, Options{})
	if _, unclean := tool.Unclean(); unclean {
		t.Error("a mark of one who lives is taken for that of one who died")
	}
	for n := range 10 {
		mustAdd(t, tool, newcomer(fmt.Sprint("tool-", n), "any"))
		mustAdd(t, node, newcomer(fmt.Sprint("node-", n), "any"))
	}
	last := mustAdd(t, tool, newcomer("last", "any"))
	if _, err := tool.Remove(t.Context(), last.ID, true); err != nil {
		t.Fatal(err)
	}
	stopTool()
	holds(t, dir, markPath, `{"highest":22,"open":true}`+"\n")
	if e := mustAdd(t, node, newcomer("b", "any")); e.ID != "023" {
		t.Errorf("id %s is given twice", e.ID)
	}
	stopNode()
	holds(t, dir, markPath, `{"highest":23,"open":false}`+"\n")
	if s, _ := start(t, root, Options{}); s.Len() != 22 {
		t.Error(s.Len())
	}
}

func TestTimestamps(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "001 a any aa\n002 b any bb\n003 c any cc\n")
	write(t, dir, timestampsPath, "001 a any 2020-01-01 00:00:00\n001 a any 2021-01-01 00:00:00\n002 other any 2021-01-01 00:00:00\nrubbish\n003 c any 2021-01-01 00:00:0x")
	s, _ := start(t, root, Options{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.Local) }})
	if e, _ := s.ByID("001"); !e.Added.Equal(time.Date(2021, 1, 1, 0, 0, 0, 0, time.Local)) {
		t.Error(e.Added)
	}
	for _, id := range []string{"002", "003"} {
		if e, _ := s.ByID(id); !e.Added.IsZero() {
			t.Error(id, e.Added)
		}
	}
	mustAdd(t, s, newcomer("d", "any"))
	if _, err := s.Remove(t.Context(), "003", false); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, timestampsPath, "001 a any 2021-01-01 00:00:00\n004 d any 2026-01-02 03:04:05\n")
}

// Where only root may make files, the times go into the file that is there.
func TestOverwrite_LongerAndShorter(t *testing.T) {
	root, dir := home(t)
	write(t, dir, timestampsPath, "007 a any 2026-11-22 12:00:00\n")
	for _, want := range []string{"008 longer-name any 2026-11-22 12:00:00\n009 b any 2026-11-22 12:00:00\n", ""} {
		if err := overwrite(root, timestampsPath, strings.NewReader(want)); err != nil {
			t.Fatal(err)
		}
		holds(t, dir, timestampsPath, want)
	}
	if err := overwrite(root, "queue/absent", strings.NewReader("")); err == nil {
		t.Error("a file was made")
	}
}
