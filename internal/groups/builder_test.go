package groups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBuilder_WritesOnlyWhatDiffers(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/default/agent.conf", confText)
	w.put("etc/shared/web/agent.conf", confText)
	w.source.set("default,web")
	if r := w.scan(); r.Written != 3 {
		t.Errorf("first: %+v", r)
	}
	before, err := os.Stat(w.path("etc/shared/default/merged.mg"))
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode().Perm() != fileMode {
		t.Errorf("mode %v", before.Mode())
	}
	if r := w.scan(); r.Written != 0 {
		t.Errorf("nothing changed: %+v", r)
	}
	w.put("etc/shared/default/agent.conf", confText) // written again, the same
	if r := w.scan(); r.Written != 0 {
		t.Errorf("only times changed: %+v", r)
	}
	// Another process finds what is there as it should be.
	w.Builder = NewBuilder(w.cfg)
	if r := w.scan(); r.Written != 0 {
		t.Errorf("after a restart: %+v", r)
	}
	after, err := os.Stat(w.path("etc/shared/default/merged.mg"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced: %v", err)
	}
	w.put("etc/shared/web/agent.conf", "<agent_config/>\n")
	if r := w.scan(); r.Written != 2 { // the group and the multigroup
		t.Errorf("web changed: %+v", r)
	}
	w.put("etc/shared/ar.conf", arText)
	if r := w.scan(); r.Written != 3 {
		t.Errorf("ar.conf changed: %+v", r)
	}
}

func TestBuilder_RepairsItsFiles(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/default/agent.conf", confText)
	w.scan()
	want := w.read("etc/shared/default/merged.mg")
	damage := map[string]func(name string) error{
		"removed":   os.Remove,
		"truncated": func(name string) error { return os.Truncate(name, 3) },
		"a link": func(name string) error {
			w.put("elsewhere", "keep")
			return errors.Join(os.Remove(name), os.Symlink(w.path("elsewhere"), name))
		},
	}
	for what, do := range damage {
		if err := do(w.path("etc/shared/default/merged.mg")); err != nil {
			t.Fatal(err)
		}
		if r := w.scan(); r.Written != 1 || w.read("etc/shared/default/merged.mg") != want {
			t.Errorf("%s: %+v, holds %q", what, r, w.read("etc/shared/default/merged.mg"))
		}
	}
	if w.read("elsewhere") != "keep" {
		t.Error("written through a link")
	}
}

// Two changes of one length within one tick of the clock are both seen.
func TestBuilder_ChangesTooFastForTheClock(t *testing.T) {
	w := newWorld(t)
	const name = "etc/shared/default/agent.conf"
	w.put(name, "one")
	w.scan()
	tr := w.trees["default"]
	if len(tr.files) != 1 || tr.files[0].sure {
		t.Fatalf("a file of just now is relied upon: %+v", tr.files)
	}
	older := tr.files[0]
	older.sure = true
	if older.same(tr.files[0]) {
		t.Error("once it is old enough it is not read again")
	}
}

func TestBuilder_MultigroupsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("etc/shared/web/agent.conf", confText)
		w.source.set("default", "web", "default,web", "web,default", "default,../x", "default,", "nope")
		w.put("var/multigroups/0badcafe/merged.mg", "old")
		w.put("var/multigroups/notes/readme", "mine")
		w.put("var/multigroups/0BADCAFE/x", "mine")
		if r := w.scan(); r.Multigroups != 2 || r.Removed != 0 {
			t.Errorf("first: %+v", r)
		}
		entries := func() (names []string) {
			list, err := os.ReadDir(w.path("var/multigroups"))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				names = append(names, e.Name())
			}
			return names
		}
		if got, want := fmt.Sprint(entries()), "[0BADCAFE 0badcafe 4b323b42 5288d400 notes]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(keepUnneeded)
		if r := w.scan(); r.Removed != 1 {
			t.Errorf("a minute later: %+v", r)
		}
		w.source.set()
		w.scan()
		time.Sleep(keepUnneeded / 2)
		w.source.set("default,web")
		w.scan()
		time.Sleep(keepUnneeded / 2)
		w.scan()
		if got, want := fmt.Sprint(entries()), "[0BADCAFE 5288d400 notes]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestBuilder_MissingGroupOfAMultigroup(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/web/agent.conf", confText)
	w.source.set("default,web")
	w.scan()
	want := w.read("var/multigroups/5288d400/merged.mg")
	if err := os.RemoveAll(w.path("etc/shared/web")); err != nil {
		t.Fatal(err)
	}
	if r := w.scan(); r.Written != 0 || w.read("var/multigroups/5288d400/merged.mg") != want {
		t.Errorf("the file of agents that will soon have other groups was touched: %+v", r)
	}
}

func TestBuilder_SourceFails(t *testing.T) {
	w := newWorld(t)
	w.put("var/multigroups/0badcafe/merged.mg", "old")
	w.source.err = errors.New("database is away")
	r, err := w.Scan(context.Background())
	if err == nil || !strings.Contains(err.Error(), "database is away") || r.Written != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	w.source.err = nil
	w.cfg.Source = stuckSource{}
	if _, err := w.Scan(context.Background()); !errors.Is(err, errPages) {
		t.Errorf("pages that do not advance: %v", err)
	}
	if w.read("var/multigroups/0badcafe/merged.mg") != "old" {
		t.Error("removed without knowing what is needed")
	}
}

type stuckSource struct{}

func (stuckSource) DistinctGroups(context.Context, string) ([]byte, bool, error) {
	return []byte(`[{"group":"a,b","group_hash":""}]`), true, nil
}

func TestBuilder_OneBadGroupAmongGood(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/good/agent.conf", confText)
	if err := os.MkdirAll(w.path("etc/shared/bad/merged.mg"), 0o770); err != nil {
		t.Fatal(err)
	}
	w.round(context.Background())
	if c := w.board.All(); len(c) != 1 || c[0].Name != condition || !strings.Contains(c[0].Detail, "merge group bad") {
		t.Errorf("conditions: %+v", c)
	}
	if got := w.read("etc/shared/good/merged.mg"); !strings.HasPrefix(got, "#good\n") {
		t.Errorf("the good one holds %q", got)
	}
	if err := os.Remove(w.path("etc/shared/bad/merged.mg")); err != nil {
		t.Fatal(err)
	}
	w.round(context.Background())
	if c := w.board.All(); len(c) != 0 {
		t.Errorf("conditions: %+v", c)
	}
}

func TestBuilder_RunsByTimeAndByHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hint := make(chan struct{})
		w.cfg.Reload = 10 * time.Second
		w.cfg.Watch = func(ctx context.Context, changed chan<- struct{}) error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-hint:
					select {
					case changed <- struct{}{}:
					default:
					}
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		if start := w.source.count(); start != 1 {
			t.Errorf("looked %d times at the start", start)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if w.source.count() != 2 {
			t.Errorf("looked %d times after one period", w.source.count())
		}
		for range 5 {
			hint <- struct{}{}
		}
		time.Sleep(gather + time.Millisecond)
		synctest.Wait()
		if w.source.count() != 3 {
			t.Errorf("looked %d times after several hints at once", w.source.count())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestBuilder_NoSharedDirectory(t *testing.T) {
	w := newWorld(t)
	if err := os.RemoveAll(w.path("etc/shared")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Scan(context.Background()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzCombination(f *testing.F) {
	f.Add("default,web")
	f.Add("a,,b")
	f.Add(strings.Repeat("a,", 200))
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := parseCombination(text)
		if !ok {
			return
		}
		if !isHash(m.hash) || strings.Join(m.names, ",") != text || len(m.names) > 128 || strings.ContainsAny(text, "/\\\x00") {
			t.Errorf("%q gives %+v", text, m)
		}
	})
}

// One look at 1,000 groups and 1,000 multigroups in which nothing has changed.
func BenchmarkScan_NothingChanged(b *testing.B) {
	w := newWorld(b)
	var texts []string
	for i := range 1000 {
		group := fmt.Sprint("group-", i)
		w.put("etc/shared/"+group+"/agent.conf", confText)
		w.put("etc/shared/"+group+"/cis.yml", strings.Repeat("x", 5000))
		texts = append(texts, "default,"+group)
	}
	w.source.set(texts...)
	w.settled, w.source.page = 0, 2000
	w.scan()
	for b.Loop() {
		if r := w.scan(); r.Written != 0 {
			b.Fatalf("%+v", r)
		}
	}
}

// Somebody saves many files: that some of them change while they are read is no
// failure unless it goes on.
func TestBuilder_FilesThatChangeMeanwhile(t *testing.T) {
	w := newWorld(t)
	look := func(errs ...error) scan {
		s := scan{Builder: w.Builder, moving: map[string]int{}}
		for _, err := range errs {
			s.fail("group web", fmt.Errorf("read x: %w", err))
		}
		w.moving = s.moving
		return s
	}
	for _, errs := range [][]error{{errChanged}, {os.ErrNotExist}, {}, {errSpecial}, {}} {
		for n := 1; n <= maxMoving+1; n++ {
			s := look(errs...)
			failed := len(errs) > 0 && (n > maxMoving || errors.Is(errs[0], errSpecial))
			if waits := len(errs) > 0 && !failed; s.result.waiting != waits || len(s.errs) > 0 != failed {
				t.Errorf("%v, look %d: waiting %v, failures %v", errs, n, s.result.waiting, s.errs)
			}
			if len(errs) == 0 {
				break
			}
		}
		look() // it has stood still
	}
	if len(w.moving) > 0 {
		t.Errorf("still remembered: %v", w.moving)
	}
}

// While the watch is quiet the files are not looked at, for a minute at most;
// the combinations of groups always are.
func TestBuilder_TrustsAQuietWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		quiet := true
		w.cfg.Quiet = func(time.Time) bool { return quiet }
		w.put(sharedDir+"/web/a", "1")
		look := func(want Result) {
			t.Helper()
			got, err := w.Scan(t.Context())
			if err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		}
		look(Result{Groups: 2, Written: 2})
		w.put(sharedDir+"/web/b", "2")
		look(Result{Groups: 2})
		w.source.texts = []string{"default,web"}
		look(Result{Groups: 2, Multigroups: 1, Written: 1})
		quiet = false
		look(Result{Groups: 2, Multigroups: 1, Written: 2})
		quiet = true
		w.put(sharedDir+"/web/c", "3")
		time.Sleep(trusted)
		look(Result{Groups: 2, Multigroups: 1, Written: 2})
	})
}
