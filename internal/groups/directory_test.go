package groups

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCreate(t *testing.T) {
	w := newWorld(t)
	if err := Create(w.root, "web-servers_1.x", ours); err != nil {
		t.Fatal(err)
	}
	if got := w.read("etc/shared/web-servers_1.x/agent.conf"); got != emptyConf {
		t.Errorf("agent.conf holds %q", got)
	}
	info, err := os.Stat(w.path("etc/shared/web-servers_1.x"))
	if err != nil || info.Mode().Perm() != dirMode {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	w.put("etc/shared/agent-template.conf", "<agent_config os=\"x\"/>\n")
	if err := Create(w.root, "db", ours); err != nil {
		t.Fatal(err)
	}
	if got := w.read("etc/shared/db/agent.conf"); got != "<agent_config os=\"x\"/>\n" {
		t.Errorf("agent.conf holds %q, not the template", got)
	}
	names, err := List(w.root)
	if diff := cmp.Diff([]string{"db", "default", "web-servers_1.x"}, names); diff != "" || err != nil {
		t.Errorf("groups (-want +got): %v\n%s", err, diff)
	}
}

func TestCreate_Refused(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/ar.conf", "")
	if err := os.Symlink("default", w.path("etc/shared/link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"": ErrName, ".": ErrName, "..": ErrName, "a b": ErrName, "a/b": ErrName, "../x": ErrName, "ü": ErrName, "a,b": ErrName,
		strings.Repeat("a", 256): ErrName, "a\x00": ErrName, "default": ErrExists, "all": ErrReserved, ".git": ErrReserved,
		"ar.conf": ErrReserved, "link": ErrReserved,
	} {
		if err := Create(w.root, name, ours); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", name, err, want)
		}
	}
	if err := Create(w.root, strings.Repeat("a", 255), ours); err != nil {
		t.Error(err)
	}
}

func TestList_WithoutDirectory(t *testing.T) {
	w := newWorld(t)
	if err := os.RemoveAll(w.path("etc/shared")); err != nil {
		t.Fatal(err)
	}
	if _, err := List(w.root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
