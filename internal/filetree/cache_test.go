package filetree

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"testudo/internal/manifest"
)

const cacheName = "queue/db/testudo-digests"

func TestCache_KeepsDigestsAcrossRestarts(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1", "etc/rules/b", "2", "etc/shared/g/c", "3")
	tree := h.open()
	before := scan(t, tree)
	h.must(tree.Close())
	h.write("etc/rules/b", "22")
	tree = h.open()
	s := scan(t, tree)
	if s.Hashed != 1 {
		t.Errorf("hashed %d files after a restart", s.Hashed)
	}
	if d := manifest.Compare(s.Manifest, before.Manifest); d.Len() != 1 || d.Shared[0].Path != "etc/rules/b" {
		t.Errorf("difference %+v", d)
	}
	if s := scan(t, tree); s.Hashed != 0 {
		t.Errorf("hashed %d at the next scan", s.Hashed)
	}
	info, err := os.Stat(h.path(cacheName))
	h.must(err)
	if info.Mode().Perm() != cacheMode || h.exists("queue/db/.testudo-digests.tmp") {
		t.Errorf("mode %v, temporary left %v", info.Mode(), h.exists("queue/db/.testudo-digests.tmp"))
	}
}

func TestCache_DoesNotTrustRecentChanges(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1")
	tree := h.open()
	tree.setWindow(time.Hour)
	scan(t, tree)
	h.must(tree.Close())
	if s := scan(t, h.open()); s.Hashed != 1 {
		t.Errorf("hashed %d", s.Hashed)
	}
}

func TestCache_DamagedIsIgnoredAndWrittenAnew(t *testing.T) {
	damage := map[string]func([]byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"cut":           func(b []byte) []byte { return b[:len(b)-1] },
		"longer":        func(b []byte) []byte { return append(b, 0) },
		"digest":        func(b []byte) []byte { b[len(b)-70]++; return b },
		"version":       func(b []byte) []byte { b[15]++; return b },
		"count":         func(b []byte) []byte { b[16]++; return b },
		"count of many": func(b []byte) []byte { b[20] = 0xff; return b },
		"other file":    func([]byte) []byte { return []byte(strings.Repeat("text\n", 100)) },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			h := newHome(t).write("etc/rules/a", "1")
			tree := h.open()
			scan(t, tree)
			h.must(tree.Close())
			h.must(os.WriteFile(h.path(cacheName), f([]byte(h.content(cacheName))), 0o600))
			var log bytes.Buffer
			tree = h.open(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			if s := scan(t, tree); s.Hashed != 1 {
				t.Errorf("hashed %d", s.Hashed)
			}
			if !strings.Contains(log.String(), "Digest cache not usable") {
				t.Errorf("log: %s", log.String())
			}
			h.must(tree.Close())
			if s := scan(t, h.open()); s.Hashed != 0 {
				t.Errorf("not written anew: hashed %d", s.Hashed)
			}
		})
	}
}

func TestCache_ThatCannotBeWrittenIsToldOnce(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1").remove("queue/db")
	var log bytes.Buffer
	tree := h.open(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for i := range 3 {
		h.write("etc/rules/a", strings.Repeat("1", i+2))
		tree.saved = time.Time{}
		scan(t, tree)
	}
	if n := strings.Count(log.String(), "Digest cache not written"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
}

func TestTree_RemembersABoundedNumber(t *testing.T) {
	tree := newHome(t).open()
	for i := range uint64(maxKnown + 100) {
		tree.remember(stamp{ino: i}, manifest.Digest{})
	}
	if len(tree.known) != maxKnown {
		t.Errorf("%d remembered", len(tree.known))
	}
	if scan(t, tree); tree.known != nil {
		t.Error("kept after a scan")
	}
}

func FuzzReadCache(f *testing.F) {
	var one bytes.Buffer
	e := &manifest.Entry{Digest: manifest.DigestOf(nil)}
	if err := writeCache(&one, []*file{{stamp: stamp{1, 2, 3, 4, -5}, entry: e}}); err != nil {
		f.Fatal(err)
	}
	f.Add(one.Bytes(), uint64(1), int64(7))
	f.Add([]byte(cacheMagic), uint64(0), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, ino uint64, size int64) {
		known, err := readCache(bytes.NewReader(data))
		if err == nil && len(data) < cacheHeader+len(known)*cacheRecord+manifest.DigestSize {
			t.Errorf("%d records in %d bytes", len(known), len(data))
		}
		s := stamp{dev: 1, ino: ino, size: size, mtime: -size, ctime: size / 2}
		var b bytes.Buffer
		files := []*file{{stamp: s, entry: &manifest.Entry{Digest: manifest.DigestOf(data)}}, {entry: e}}
		if err := writeCache(&b, files); err != nil {
			t.Fatal(err)
		}
		back, err := readCache(&b)
		if err != nil || back[s] != manifest.DigestOf(data) && s != (stamp{}) || back[stamp{}] != e.Digest {
			t.Errorf("not what was written: %v %v", back, err)
		}
	})
}
