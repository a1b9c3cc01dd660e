package nodekeys_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/home"
	"testudo/internal/keystore"
	"testudo/internal/nodekeys"
)

func lines(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, home.KeysPath))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestFile_AddsAndRemoves(t *testing.T) {
	dir := masterHome(t, "master", "007 web-01 10.0.0.7 k7\n")
	keys := open(t, dir, nodekeys.File)
	k, err := keys.Add(t.Context(), nodekeys.Addition{Name: "db-01"})
	if err != nil || k.Text != "008" || k.Address != "any" || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(k.Secret.Reveal()) {
		t.Errorf("got %v, %v", k, err)
	}
	// Two others in the way: of its name, and of its address.
	k, err = keys.Add(t.Context(), nodekeys.Addition{Name: "db-01", Address: "10.0.0.7", Key: agent.NewSecret("k9"), Replace: true})
	if err != nil || k.Text != "009" {
		t.Errorf("got %v, %v", k, err)
	}
	if got := strings.Join(lines(t, dir), "; "); got != "009 db-01 10.0.0.7 k9" {
		t.Errorf("the file holds %q", got)
	}
	if err := keys.Remove(t.Context(), "009", false); err != nil {
		t.Error(err)
	}
	if err := keys.Remove(t.Context(), "009", false); !errors.Is(err, nodekeys.ErrUnknown) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestFile_WhatCannotBe(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dir := masterHome(t, "master", "007 web-01 10.0.0.7 k7\n")
	keys := open(t, dir, nodekeys.File)
	for name, c := range map[string]struct {
		a    nodekeys.Addition
		want error
	}{
		"name":       {nodekeys.Addition{Name: "web-01"}, keystore.ErrDuplicateName},
		"address":    {nodekeys.Addition{Name: "web-02", Address: "10.0.0.7"}, keystore.ErrDuplicateAddress},
		"id":         {nodekeys.Addition{Name: "web-02", ID: "007"}, keystore.ErrDuplicateID},
		"own name":   {nodekeys.Addition{Name: host}, keystore.ErrDuplicateName},
		"groups":     {nodekeys.Addition{Name: "web-02", Groups: []string{"default"}}, nodekeys.ErrGroups},
		"a bad key":  {nodekeys.Addition{Name: "web-02", Key: agent.NewSecret("a b")}, keystore.ErrEntry},
		"a long id":  {nodekeys.Addition{Name: "web-02", ID: "123456789"}, keystore.ErrEntry},
		"no address": {nodekeys.Addition{Name: "web-02", Address: "10.0.0"}, nil},
	} {
		_, err := keys.Add(t.Context(), c.a)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := lines(t, dir); len(got) != 1 {
		t.Errorf("the file holds %q", got)
	}
}

func TestFile_ManyAtOnce(t *testing.T) {
	dir := masterHome(t, "master", "002 a2 any other\n")
	keys := open(t, dir, nodekeys.File)
	var list []agent.Key
	for i := 1; i <= 300; i++ {
		id := agent.ID(i)
		list = append(list, agent.Key{ID: id, Text: id.String(), Name: fmt.Sprintf("a%d", i), Address: "any", Secret: agent.NewSecret("key" + id.String())})
	}
	list[1].Name = "a-2" // its id is taken
	told := 0
	err := keys.Import(t.Context(), list, false, func(k agent.Key, outcome nodekeys.Outcome, err error) {
		if want := list[told]; !reflect.DeepEqual(k, want) {
			t.Fatalf("told of %s in the place of %s", k.Text, want.Text)
		}
		if failed := k.Text == "002"; failed != (outcome == nodekeys.Failed) || failed != errors.Is(err, keystore.ErrDuplicateID) {
			t.Errorf("%s: %v, %v", k.Text, outcome, err)
		}
		told++
	})
	if err != nil || told != 300 {
		t.Errorf("told of %d, %v", told, err)
	}
	var ids []string
	kept := 0
	if err := keys.Import(t.Context(), list[2:], false, func(k agent.Key, outcome nodekeys.Outcome, _ error) {
		ids = append(ids, k.Text)
		if outcome == nodekeys.Kept {
			kept++
		}
	}); err != nil || kept != 298 {
		t.Errorf("kept %d, %v", kept, err)
	}
	most := 0
	removed, err := keys.RemoveAll(t.Context(), append(ids, "999"), func(done, total int) { most = max(most, done*1000/total) })
	if err != nil || removed != 298 || most < 990 {
		t.Errorf("removed %d, %v; told of %d", removed, err, most)
	}
	if got := lines(t, dir); len(got) != 2 {
		t.Errorf("%d lines are left", len(got))
	}
}

// "7" and "007" are one id, whoever has it already: somebody in the file, or one
// earlier in the list.
func TestFile_ImportsNoIDTwice(t *testing.T) {
	dir := masterHome(t, "master", "007 web-01 any k7\n009 !old any k9\n")
	keys := open(t, dir, nodekeys.File)
	var list []agent.Key
	for i, id := range []string{"7", "0008", "008", "9", "007"} {
		number, err := agent.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, agent.Key{ID: number, Text: id, Name: fmt.Sprint("new-", i), Address: "any", Secret: agent.NewSecret("k")})
	}
	list[4] = agent.Key{ID: 7, Text: "007", Name: "web-01", Address: "any", Secret: agent.NewSecret("k7")}
	var got []string
	err := keys.Import(t.Context(), list, false, func(k agent.Key, outcome nodekeys.Outcome, err error) {
		got = append(got, fmt.Sprintf("%s %v %v", k.Text, outcome, errors.Is(err, keystore.ErrDuplicateID)))
	})
	if want := "7 2 true; 0008 0 false; 008 2 true; 9 0 false; 007 1 false"; err != nil || strings.Join(got, "; ") != want {
		t.Errorf("got %q, %v", got, err)
	}
}

// Beside a node that runs and registers no agents the file may be changed.
func TestFile_BesideANodeThatRegistersNobody(t *testing.T) {
	dir := masterHome(t, "master", "")
	settings := filepath.Join(dir, "etc/testudo.yaml")
	text, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `#enrolment: "embedded"`, `enrolment: "external"`, 1)
	if changed == string(text) {
		t.Fatal("no setting of enrolment in a new home")
	}
	if err := os.WriteFile(settings, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	addsBeside(t, dir, "")
}

func TestFile_BesideANodeStartedAsTheOriginalsDaemon(t *testing.T) {
	dir := masterHome(t, "master", "")
	withAuth(t, dir)
	addsBeside(t, dir, home.Daemon)
}

// addsBeside adds an agent while a node has the lock of the home.
func addsBeside(t *testing.T, dir, as string) {
	t.Helper()
	lock, err := home.LockAs(dir, as)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	keys := open(t, dir, nodekeys.File)
	if _, err := keys.Add(t.Context(), nodekeys.Addition{Name: "web-01"}); err != nil {
		t.Error(err)
	}
}
