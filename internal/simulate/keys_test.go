package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"testudo/internal/agent"
	"testudo/internal/keystore"
	"testudo/internal/shortdir"
)

func TestOurs(t *testing.T) {
	key := keyMark + strings.Repeat("0", keyDigits-len(keyMark))
	for line, want := range map[string]struct {
		id   agent.ID
		mine bool
	}{
		"100001 sim-100001 any " + key:          {100001, true},
		"100001 !sim-100001 any " + key:         {100001, true}, // removed
		"100001 sim-100002 any " + key:          {100001, false},
		"100001 sim-100001 any " + key[:63]:     {100001, false},
		"007 web-01 any " + key:                 {7, false},
		"100001 sim-100001 any 0f1e2d3c":        {100001, false},
		"100001 sim-100001 any extra " + key:    {100001, false},
		"# 100001 sim-100001 any " + key:        {0, false},
		" 100001 sim-100001 any " + key:         {0, false},
		"abc sim-100001 any " + key:             {0, false},
		"007":                                   {0, false},
		"":                                      {0, false},
		"99999999999999999999 sim-1 any " + key: {0, false},
	} {
		if id, mine := ours([]byte(line)); id != want.id || mine != want.mine {
			t.Errorf("%.30q: %d, %t", line, id, mine)
		}
	}
}

// keysOf reads a client.keys from a text.
func keysOf(t *testing.T, text string) *keyFile {
	t.Helper()
	k, err := readKeys(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// emptyHome is a home with its etc alone.
func emptyHome(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if err := root.Mkdir("etc", 0o750); err != nil {
		t.Fatal(err)
	}
	return root
}

// guardOf is the lock of a home's keys, given back: nobody else wants it.
func guardOf(t *testing.T, root *os.Root) *keystore.Guard {
	t.Helper()
	if err := errors.Join(root.MkdirAll("queue/db", 0o750), root.MkdirAll("var/run", 0o750)); err != nil {
		t.Fatal(err)
	}
	guard, err := keystore.Lock(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	guard.Release()
	return guard
}

// Ids of agents that were purged are not given again: neither those of the master,
// nor ours, to nobody.
func TestKeys_PurgedIDsStayGiven(t *testing.T) {
	root := emptyHome(t)
	guard := guardOf(t, root)
	if err := errors.Join(root.WriteFile(keysPath, []byte("001 a any aa\n"), 0o640), guard.Given(50)); err != nil {
		t.Fatal(err)
	}
	s := &Simulation{root: root, o: Options{Count: 3}, nodes: []node{{home: root.Name(), master: true}}}
	for _, first := range []agent.ID{51, 54} {
		keys, err := s.homeKeys(t.Context(), 0)
		if ids := slices.Sorted(maps.Keys(keys)); err != nil || len(ids) != 3 || ids[0] != first {
			t.Fatalf("%v, %v", ids, err)
		}
		if _, err := s.removeKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	store, err := keystore.Open(root, keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	go func() { _ = store.Run(t.Context()) }()
	e, err := store.Add(t.Context(), keystore.Addition{Entry: keystore.Entry{Name: "real", Address: "any", Secret: newKey()}})
	if err != nil || e.ID != "057" {
		t.Errorf("%s, %v", e.ID, err)
	}
}

// What is not ours stays byte for byte, whatever it is; what is ours goes.
func TestKeys_OthersStay(t *testing.T) {
	const others = "007 web-01 any 0f1e\r\n\n# a note\n003 !old-host any ab12\nbroken\n2000 db any cd34"
	root := emptyHome(t)
	path := filepath.Join(root.Name(), keysPath)
	if err := os.WriteFile(path, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := openKeys(root)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := k.extend(3, 1500); !changed || err != nil {
		t.Fatalf("%t, %v", changed, err)
	}
	if err := writeKeys(root, guardOf(t, root), k); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), others+"\n2001 sim-2001 any "+keyMark) || strings.Count(string(text), "sim-") != 3 {
		t.Errorf("%v\n%s", err, text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if k, err = openKeys(root); err != nil || len(k.ours) != 3 || k.highest != 2003 {
		t.Errorf("%+v, %v", k.ours, err)
	}
	if changed, err := k.extend(2, 0); changed || err != nil {
		t.Error("agents there are enough of")
	}
	clear(k.ours)
	if err := writeKeys(root, guardOf(t, root), k); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != others+"\n" {
		t.Errorf("%v\n%s", err, text)
	}
}

// A file that would be empty keeps a removed agent, which later goes.
func TestKeys_NeverEmpty(t *testing.T) {
	root := emptyHome(t)
	k := keysOf(t, "100001 sim-100001 any "+newKey().Reveal()+"\n")
	clear(k.ours)
	if err := writeKeys(root, guardOf(t, root), k); err != nil {
		t.Fatal(err)
	}
	k, err := openKeys(root)
	if err != nil || len(k.ours) != 0 || len(k.others) != 0 || k.highest != 100001 {
		t.Errorf("%+v, %v", k, err)
	}
	keys, err := root.ReadFile(keysPath)
	if err != nil || !bytes.HasPrefix(keys, []byte("100001 !sim-100001 any ")) {
		t.Errorf("%s, %v", keys, err)
	}
	if info, err := root.Stat(keysPath); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestKeys_NoIDsLeft(t *testing.T) {
	k := keysOf(t, "99999999 last any ab\n")
	if _, err := k.extend(1, 0); err == nil {
		t.Error("an id of nine digits was given")
	}
}

// Reading never changes or loses what is not ours.
func TestKeys_Random(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("01 a!#sim-\n\r"))).Draw(t, "keys")
		k, err := readKeys(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(k.ours) == 0 && string(k.others) != text {
			t.Errorf("%q became %q", text, k.others)
		}
	})
}

func TestGroups_OnlyOurOwn(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"default", "sim-group-0001", "sim-group-x"} {
		if err := root.MkdirAll(filepath.Join(sharedPath, name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(filepath.Join(sharedPath, name, "agent.conf"), []byte("<agent_config/>\n"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		if err := makeGroup(root, Group(i)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := groupsOf(root)
	if diff := cmp.Diff([]string{"sim-group-0000", "sim-group-0001"}, names); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if !ownGroup(root, Group(0)) || ownGroup(root, Group(1)) {
		t.Error("a group that somebody else made was taken for ours")
	}
	// A file of somebody else keeps the directory.
	if err := root.WriteFile(filepath.Join(sharedPath, Group(0), "notes.txt"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if removed, err := removeGroup(root, Group(0)); removed || err != nil {
		t.Errorf("removed: %t, %v", removed, err)
	}
	if err := root.Remove(filepath.Join(sharedPath, Group(0), "notes.txt")); err != nil {
		t.Fatal(err)
	}
	if removed, err := removeGroup(root, Group(0)); !removed || err != nil {
		t.Errorf("removed: %t, %v", removed, err)
	}
}

// Beside a node at which agents enrol the simulator may write; beside another
// daemon it may not.
func TestLockKeys(t *testing.T) {
	dir := shortdir.New(t)
	for _, below := range []string{"etc", "queue/sockets", "queue/db"} {
		if err := os.MkdirAll(filepath.Join(dir, below), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	try := func() error {
		guard, err := lockKeys(t.Context(), dir, root)
		if err == nil {
			guard.Release()
		}
		return err
	}
	if err := try(); err != nil {
		t.Error(err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, authSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := try(); !errors.Is(err, ErrEnrolment) {
		t.Errorf("beside another daemon: %v", err)
	}
	ours, err := keystore.Open(root, keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(try(), ours.Close()); err != nil {
		t.Errorf("beside one of ours: %v", err)
	}
}

func TestMarker(t *testing.T) {
	for _, seq := range []uint32{0, 1, 1 << 31} {
		sum := marker(100_000_0, seq)
		if got, ok := seqOf(sum); !ok || got != seq || len(sum) != 32 {
			t.Errorf("%s: %d, %t", sum, got, ok)
		}
	}
	for _, sum := range []string{"", "51d", strings.Repeat("a", 32), "51d" + strings.Repeat("x", 29)} {
		if _, ok := seqOf(sum); ok {
			t.Errorf("%q was taken", sum)
		}
	}
}

func FuzzReadKeys(f *testing.F) {
	f.Add([]byte("007 web-01 any 0f1e\n100001 sim-100001 any " + keyMark + strings.Repeat("0", 42) + "\n"))
	f.Add([]byte("# x\n\n 1 2\r\n!"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := readKeys(bytes.NewReader(text))
		if err != nil {
			return
		}
		for id, key := range k.ours {
			if !bytes.Contains(text, []byte(Name(id))) || !bytes.Contains(text, []byte(key.Reveal())) {
				t.Errorf("agent %s was made up", id)
			}
		}
		if again, err := readKeys(bytes.NewReader(k.others)); err != nil || len(again.ours) > 0 || !bytes.Equal(again.others, k.others) {
			t.Errorf("the lines of others are read differently again: %v", err)
		}
	})
}

func TestKeyFile_NeverShowsItsKeys(t *testing.T) {
	k := &keyFile{ours: map[agent.ID]agent.Secret{7: newKey()}, others: []byte("008 a any " + newKey().Reveal())}
	if text := fmt.Sprintf("%v %+v %#v %s %v", k, k, *k, k, struct{ ours map[agent.ID]agent.Secret }{k.ours}); strings.Contains(text, keyMark) {
		t.Error(text)
	}
}
