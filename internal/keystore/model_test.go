package keystore

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"testudo/internal/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// liveLines are the lines of a file that count, as another program reads them.
func liveLines(t rapid.TB, dir string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, keysPath))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []string
	bad, err := agent.ReadKeys(f, agent.KeyLimits{}, func(k agent.Key) {
		if !k.Removed {
			list = append(list, fmt.Sprint(k.Text, " ", k.Name, " ", k.Address, " ", k.Secret.Reveal()))
		}
	})
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	return list
}

// world is a store, and what it should hold.
type world struct {
	*testing.T
	root    *os.Root
	dir     string
	o       Options
	s       *Store
	stop    func()
	entries map[string]Entry // by id
	given   map[string]bool  // ids
}

func (w *world) start() { w.s, w.stop = start(w.T, w.root, w.o) }

func (w *world) conflicts(a Addition) bool {
	for _, e := range w.entries {
		if slices.ContainsFunc(a.Replace, e.Same) {
			continue
		}
		if e.ID == a.ID || e.Name == a.Name || a.Address != "any" && Bare(e.Address) == a.Address {
			return true
		}
	}
	return false
}

// some gives one of the entries, or one that is none.
func (w *world) some(rt *rapid.T) Entry {
	if len(w.entries) == 0 {
		return Entry{ID: "none"}
	}
	return w.entries[rapid.SampledFrom(slices.Sorted(maps.Keys(w.entries))).Draw(rt, "which")]
}

func (w *world) add(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "name")
	a := newcomer(name, rapid.SampledFrom([]string{"any", "10.0.0.1", "10.0.0.2", "10.0.0.0/24"}).Draw(rt, "address"))
	if rapid.Bool().Draw(rt, "replace") {
		a.Replace = []Entry{w.some(rt)}
	}
	e, err := w.s.Add(w.Context(), a)
	if conflict := w.conflicts(a); conflict != (err != nil) {
		rt.Fatalf("add %v: %v, conflict %v", a, err, conflict)
	}
	if err != nil {
		return
	}
	if w.given[e.ID] {
		rt.Fatalf("id %s is given twice", e.ID)
	}
	w.given[e.ID] = true
	for _, old := range a.Replace {
		delete(w.entries, old.ID)
	}
	w.entries[e.ID] = e
}

func (w *world) remove(rt *rapid.T) {
	e := w.some(rt)
	_, err := w.s.Remove(w.Context(), e.ID, rapid.Bool().Draw(rt, "purge"))
	if _, there := w.entries[e.ID]; there != (err == nil) {
		rt.Fatal(err)
	}
	delete(w.entries, e.ID)
}

func (w *world) reopen(*rapid.T) {
	w.stop()
	w.start()
}

// die leaves the mark as it is while the store is open.
func (w *world) die(rt *rapid.T) {
	before, err := readMark(w.root)
	if err != nil {
		rt.Fatal(err)
	}
	w.stop()
	if err := w.s.o.writeMark(w.root, before); err != nil {
		rt.Fatal(err)
	}
	w.start()
}

// edit adds a comment by hand.
func (w *world) edit(rt *rapid.T) {
	f, err := os.OpenFile(filepath.Join(w.dir, keysPath), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		rt.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("# a comment\n"); err != nil {
		rt.Fatal(err)
	}
}

func (w *world) check(rt *rapid.T) {
	if w.s.Len() != len(w.entries) {
		rt.Fatalf("%d entries, want %d", w.s.Len(), len(w.entries))
	}
	var want []string
	for id, e := range w.entries {
		want = append(want, strings.TrimSuffix(text(e), "\n"))
		if got, ok := w.s.ByID(id); !ok || !got.Same(e) || !got.Added.Equal(e.Added) {
			rt.Fatalf("%s is %v, want %v", id, got, e)
		}
		if got, ok := w.s.ByName(e.Name); !ok || got.ID != id {
			rt.Fatalf("%s is not found by name", id)
		}
	}
	got := liveLines(rt, w.dir)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("the file has %q, want %q", got, want)
	}
}

// Whatever is done, in whatever order, with the store closed, killed or the file
// edited between, file and store hold the same, what was answered, and no id comes
// twice.
func TestStore_AsTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{T: t, entries: map[string]Entry{}, given: map[string]bool{}}
		w.root, w.dir = homeInMemory(t)
		w.o = Options{Purge: rapid.Bool().Draw(rt, "purge configured"), NoSync: true}
		w.start()
		defer func() { w.stop() }()
		rt.Repeat(map[string]func(*rapid.T){
			"add": w.add, "remove": w.remove, "close": w.reopen, "die": w.die, "edit": w.edit, "": w.check,
		})
	})
}

// Many at once: every answer is in the file, no id comes twice, of those who want
// one name one gets it.
func TestStore_ManyAtOnce(t *testing.T) {
	root, dir := home(t)
	s, stop := start(t, root, Options{})
	var mu sync.Mutex
	want, names := map[string]string{}, map[string]int{}
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for n := range 20 {
				a := newcomer(fmt.Sprintf("agent-%d-%d", worker/2, n), "any") // two want each
				a.Secret = agent.NewSecret(fmt.Sprint("key-", worker))
				e, err := s.Add(t.Context(), a)
				if errors.Is(err, ErrDuplicateName) {
					continue
				}
				mu.Lock()
				if _, twice := want[e.ID]; err != nil || twice {
					t.Error(e, err, twice)
				}
				want[e.ID] = strings.TrimSuffix(text(e), "\n")
				names[e.Name]++
				mu.Unlock()
				if n%10 != 0 {
					continue
				}
				if _, err := s.Remove(t.Context(), e.ID, n%20 == 0); err != nil {
					t.Error(err)
				}
				mu.Lock()
				want[e.ID] = "" // the id stays taken
				names[e.Name]--
				mu.Unlock()
			}
		})
		wg.Go(func() {
			for range 50 {
				s.Each(func(e Entry) bool {
					_, _ = s.ByName(e.Name)
					return true
				})
			}
		})
	}
	wg.Wait()
	stop()
	for name, count := range names {
		if count > 1 {
			t.Errorf("%d have the name %s", count, name)
		}
	}
	got := map[string]bool{}
	for _, l := range liveLines(t, dir) {
		got[l] = true
	}
	for id, l := range want {
		if l != "" && !got[l] {
			t.Errorf("%s was answered and is not in the file", id)
		}
		delete(got, l)
	}
	for l := range got {
		t.Errorf("the file has %q", l)
	}
}

// What is loaded and saved is loaded again as it was, and nothing of the file is
// lost but what nobody reads.
func FuzzTable(f *testing.F) {
	f.Add("001 a any k\n# comment\n002 !b 10.0.0.1 k\n\n x\nbroken\n003 c !10.0.0.0/8 k more\r\n")
	f.Add("1 a any k\n1 a any k\n01 #a any k")
	f.Fuzz(func(t *testing.T, content string) {
		first, _ := parseTable(content)
		count, removedOnes := 0, 0
		if _, err := agent.ReadKeys(strings.NewReader(content), agent.KeyLimits{Line: maxLine}, func(k agent.Key) {
			if k.Removed {
				removedOnes++
				return
			}
			if first.ids.find(first.lines, k.Text, nil) < 0 {
				t.Errorf("%q is not found", k.Text)
			}
			count++
		}); err != nil {
			t.Fatal(err)
		}
		if first.live != count {
			t.Errorf("%d entries, want %d", first.live, count)
		}
		saved := newPlan(first, 0, time.Time{}).rewritten(false)
		var b strings.Builder
		kept := 0
		for _, l := range saved.lines {
			b.WriteString(l.text + "\n")
			if l.kind == removed {
				kept++
			}
		}
		again, _ := parseTable(b.String())
		if !again.sameEntries(first) || kept != removedOnes || len(again.lines) != len(first.lines) || again.highest != first.highest {
			t.Errorf("saved as %q", b.String())
		}
		for i := range first.lines {
			if l := first.lines[i]; l.kind == live {
				if n := newLine(l.entry(), live); l.entry().check() == nil && !n.entry().Same(l.entry()) {
					t.Errorf("%q is written as %q", l.text, n.text)
				}
			}
		}
	})
}

// Whatever stands in agents-timestamp, only what is a line of an entry counts, and
// it counts as it would be written.
func FuzzTimestamps(f *testing.F) {
	f.Add("007 web-01 any 2026-01-02 03:04:05\n")
	f.Add("008 db-01 any 2026-01-02 03:04:05\n007 web-01 any 2026-01-02 03:04:05")
	f.Add("007 web-01 2026-01-02 03:04:05\n007\n\n 007 web-01\n007 web-01 2026-13-02 03:04:05")
	f.Fuzz(func(t *testing.T, content string) {
		keys, _ := parseTable("007 web-01 any k\n# comment\n008 db-01 10.0.0.0/8 k\n003 !gone any k\n")
		next := 0
		for text := range strings.Lines(content) {
			next = keys.stamp(text, next)
		}
		again, _ := parseTable("007 web-01 any k\n# comment\n008 db-01 10.0.0.0/8 k\n003 !gone any k\n")
		for i := range keys.lines {
			l := &keys.lines[i]
			if l.added != 0 && l.kind != live {
				t.Errorf("%q has a time", l.text)
			}
			if b := timestamp(nil, l); len(b) > 0 {
				again.stamp(string(b), i)
			}
			if again.lines[i].added != l.added {
				t.Errorf("%q: %d is written as %d", l.text, l.added, again.lines[i].added)
			}
		}
	})
}
