package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (w *world) groups() string {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	names := slices.Clone(w.db.groups)
	slices.Sort(names)
	return fmt.Sprint(names)
}

func (w *world) mkdir(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(w.dir, "etc/shared", name), 0o770); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestGroups_FollowDirectories(t *testing.T) {
	for _, master := range []bool{true, false} {
		w := newWorld(t, master)
		w.db.groups = []string{"gone"}
		w.mkdir("web", "db-1", ".hidden", "bad name", "ümlaut")
		w.put("etc/shared/ar.conf", "")
		if err := os.Symlink("web", filepath.Join(w.dir, "etc/shared/link")); err != nil {
			t.Fatal(err)
		}
		got := w.round()
		if want := (Result{GroupsAdded: 3, GroupsRemoved: 1}); got != want || w.groups() != "[db-1 default web]" {
			t.Errorf("got %+v, groups %s", got, w.groups())
		}
		if err := os.Remove(filepath.Join(w.dir, "etc/shared/web")); err != nil {
			t.Fatal(err)
		}
		if w.round(); w.groups() != "[db-1 default]" {
			t.Errorf("groups %s", w.groups())
		}
	}
}

func TestGroups_NotRemovedWithoutTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.mkdir("web")
		w.round()
		shared := filepath.Join(w.dir, "etc/shared")
		for _, name := range []string{"web", "default"} {
			if err := os.Remove(filepath.Join(shared, name)); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			w.round()
			time.Sleep(time.Hour)
		}
		if w.groups() != "[default web]" || !slices.Equal(w.conditions(), []string{condGroups}) {
			t.Errorf("groups %s, conditions %v", w.groups(), w.conditions())
		}
		if err := os.Remove(shared); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Round(context.Background()); !errors.Is(err, os.ErrNotExist) || w.groups() != "[default web]" {
			t.Errorf("without etc/shared: %v, groups %s", err, w.groups())
		}
		w.mkdir("default")
		w.round()
		if w.groups() != "[default]" || len(w.conditions()) > 0 {
			t.Errorf("groups %s, conditions %v", w.groups(), w.conditions())
		}
	})
}

// What is held back is not told as being in step.
func TestGroups_HeldAreNotInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		var lines strings.Builder
		w.log = slog.New(slog.NewTextHandler(&lines, nil))
		if err := os.Remove(filepath.Join(w.dir, "etc/shared/default")); err != nil {
			t.Fatal(err)
		}
		w.db.groups = append(w.db.groups, "web")
		now := time.Now()
		for range 3 {
			now = w.next(t.Context(), now)
			time.Sleep(time.Until(now))
		}
		if got := lines.String(); strings.Count(got, "Groups without a directory not removed.") != 1 || strings.Contains(got, "in step with the files again") {
			t.Error(got)
		}
		lines.Reset()
		w.mkdir("default")
		w.next(t.Context(), now)
		if got := lines.String(); !strings.Contains(got, "Groups are removed again.") || w.groups() != "[default]" {
			t.Errorf("groups %s: %s", w.groups(), got)
		}
	})
}

func TestGroups_ManyAtOnceWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		for i := range 30 {
			w.mkdir(fmt.Sprint("g", i))
		}
		w.round()
		for i := range 25 {
			if err := os.Remove(filepath.Join(w.dir, "etc/shared", fmt.Sprint("g", i))); err != nil {
				t.Fatal(err)
			}
		}
		w.round()
		if len(w.db.groups) != 31 {
			t.Errorf("%d groups at once", len(w.db.groups))
		}
		time.Sleep(holdShort)
		w.round()
		if len(w.db.groups) != 6 || len(w.conditions()) > 0 {
			t.Errorf("%d groups after a while, conditions %v", len(w.db.groups), w.conditions())
		}
	})
}

func TestSelf_IsThisNode(t *testing.T) {
	w := newWorld(t, true)
	w.db.down = true
	if _, err := w.Round(context.Background()); !errors.Is(err, errDown) {
		t.Errorf("got %v", err)
	}
	w.db.down = false
	w.round()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if w.db.names[0] != host {
		t.Errorf("agent 0 is called %s", w.db.names[0])
	}
	for column, want := range map[string]string{
		"manager_host": host, "node_name": "n1", "version": "Wazuh v4.7.5", "connection_status": "active", "group_config_status": "synced",
	} {
		if w.db.self[column] != want {
			t.Errorf("%s is %q, want %q", column, w.db.self[column], want)
		}
	}
	w.db.self = nil
	if w.round(); w.db.self != nil {
		t.Error("agent 0 was written again")
	}
}

func TestParseOSRelease(t *testing.T) {
	tests := []struct {
		text, name, platform, version, codename, major, minor string
	}{
		{
			"PRETTY_NAME=\"Ubuntu 22.04.3 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nVERSION=\"22.04.3 LTS (Jammy Jellyfish)\"\nID=ubuntu\n",
			"Ubuntu", "ubuntu", "22.04.3 LTS", "Jammy Jellyfish", "22", "04",
		},
		{
			"NAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\nVERSION='12 (bookworm)'\nID=debian",
			"Debian GNU/Linux", "debian", "12", "bookworm", "12", "",
		},
		{"NAME=Alpine\nID=alpine\nVERSION_ID=3.20.1\n", "Alpine", "alpine", "3.20.1", "", "3", "20"},
		{"garbage\nNAME=\"\n", "\"", "", "", "", "", ""},
	}
	for _, test := range tests {
		c := parseOSRelease(test.text)
		got := []string{c["os_name"], c["os_platform"], c["os_version"], c["os_codename"], c["os_major"], c["os_minor"]}
		want := []string{test.name, test.platform, test.version, test.codename, test.major, test.minor}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add("NAME=\"x\"\nVERSION=\"1.2 (y)\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		for column, value := range parseOSRelease(text) {
			if len(value) > 3*len(text) {
				t.Errorf("%s is %q", column, value)
			}
		}
	})
}

// A node is ready when the groups of its first start have their rows, not before.
func TestReady_WaitsForTheRowsOfGroups(t *testing.T) {
	w := newWorld(t, false)
	if w.Ready() {
		t.Error("ready before anything was compared")
	}
	w.db.down = true
	if _, err := w.Round(t.Context()); err == nil || w.Ready() {
		t.Errorf("ready, or no error (%v), while the database is away", err)
	}
	w.db.down = false
	w.mkdir("web") // by integrity, after the comparison
	if w.Ready() {
		t.Error("ready without the row of a group")
	}
	if w.round(); !w.Ready() || w.groups() != "[default web]" {
		t.Errorf("not ready with groups %s", w.groups())
	}
	w.mkdir("later")
	if !w.Ready() {
		t.Error("a group that comes later makes a node unready")
	}
}
