package nodekeys_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/nodekeys"
)

const key64 = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeeff"

// homeWith makes a home that has nothing but keys.
func homeWith(t *testing.T, keys string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/client.keys"), []byte(keys), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEach_RemovedAndBrokenLines(t *testing.T) {
	dir := homeWith(t, "007 web-01 any "+key64+"\nnonsense\n003 !old 10.0.0.0/24 k3\n# 9\n")
	var seen []string
	bad, err := nodekeys.Each(dir, func(k agent.Key) {
		text := k.Text + " " + k.Name
		if k.Removed {
			text += " removed"
		}
		seen = append(seen, text)
	})
	if err != nil || len(bad) != 1 || bad[0].Line != 2 {
		t.Errorf("got %v, %v", bad, err)
	}
	if got, want := strings.Join(seen, "; "), "007 web-01; 003 old removed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if bad, err := nodekeys.Each(t.TempDir(), nil); err != nil || bad != nil {
		t.Errorf("without a file: %v, %v", bad, err)
	}
}

func TestFind(t *testing.T) {
	dir := homeWith(t, "007 web-01 any k7\n9 nine any k9\n009 other any k09\n0012 a any k\n12 b any k\n003 !old any k3\n")
	for id, want := range map[string]string{
		"007": "web-01", "7": "web-01", "0007": "web-01", "9": "nine", "009": "other", "0012": "a",
	} {
		if k, err := nodekeys.Find(dir, id); err != nil || k.Name != want {
			t.Errorf("%s: got %q, %v; want %q", id, k.Name, err, want)
		}
	}
	for _, id := range []string{"003", "8"} {
		if _, err := nodekeys.Find(dir, id); !errors.Is(err, nodekeys.ErrUnknown) {
			t.Errorf("%s: got %v", id, err)
		}
	}
	if _, err := nodekeys.Find(dir, "012"); err == nil || !strings.Contains(err.Error(), "several") {
		t.Errorf("two of a number: got %v", err)
	}
	if _, err := nodekeys.Find(dir, "web-01"); !errors.Is(err, agent.ErrID) {
		t.Errorf("a name: got %v", err)
	}
}

func read(t *testing.T, text string) (list []agent.Key, err error) {
	t.Helper()
	err = nodekeys.Import(strings.NewReader(text), func(k agent.Key) { list = append(list, k) })
	return list, err
}

func TestText_IsReadBack(t *testing.T) {
	k := agent.Key{ID: 7, Text: "007", Name: "web-01", Address: "any", Secret: agent.NewSecret(key64)}
	text := nodekeys.Text(k)
	if want := base64.StdEncoding.EncodeToString([]byte("007 web-01 any " + key64)); text != want {
		t.Errorf("got %s", text)
	}
	list, err := read(t, "# keys\n\n  "+text+" \r\n12 b !10.0.0.0/24 k12\n")
	if err != nil || len(list) != 2 || !reflect.DeepEqual(list[0], k) || list[1].Text != "12" || list[1].Address != "10.0.0.0/24" {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestImport_NothingOfABrokenLineIsTold(t *testing.T) {
	for name, text := range map[string]string{
		"a word":          "\nsecretsecret!\n",
		"base64 of less":  "\n" + base64.StdEncoding.EncodeToString([]byte("007 web-01 secret")),
		"base64 of more":  "\n" + base64.StdEncoding.EncodeToString([]byte("007 a any secret\n008 b any secret")),
		"a removed agent": "\n007 !web-01 any secret",
		"no number":       "\nx web-01 any secret",
		"too long":        "\n" + strings.Repeat("secret ", 2000),
	} {
		_, err := read(t, text)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte("007 web-01 any " + key64))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte("007 web-01 any "+key64)) + "\n# x\n"))
	f.Add([]byte("!\n\n=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list, again []agent.Key
		if err := nodekeys.Import(bytes.NewReader(data), func(k agent.Key) { list = append(list, k) }); err != nil {
			return
		}
		var out bytes.Buffer
		for _, k := range list {
			out.WriteString(nodekeys.Text(k) + "\n")
		}
		if err := nodekeys.Import(&out, func(k agent.Key) { again = append(again, k) }); err != nil {
			t.Fatal(err)
		}
		if len(list) != len(again) {
			t.Fatalf("%d keys became %d", len(list), len(again))
		}
		for i := range list {
			if !reflect.DeepEqual(list[i], again[i]) {
				t.Fatalf("key %d: another one", i)
			}
		}
	})
}
