package chaos

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/fleet"
)

// chaosDirs are where the files of a writer are, below the home.
var chaosDirs = []string{"etc/rules", "etc/decoders", "etc/lists", "etc/shared/one", "etc/shared/two/below"}

// magic begins each file of a writer.
const magic = "chaos"

// describe gives a file that tells whether it is whole: its first line holds
// the path, the length of the rest and its digest.
func describe(path string, body []byte) []byte {
	sum := sha256.Sum256(body)
	header := fmt.Sprintf("%s %s %d %s\n", magic, path, len(body), hex.EncodeToString(sum[:]))
	return append([]byte(header), body...)
}

// torn says what is wrong with a file that describes itself.
func torn(path string, content []byte) string {
	header, body, ok := bytes.Cut(content, []byte{'\n'})
	fields := strings.Fields(string(header))
	if !ok || len(fields) != 4 || fields[0] != magic {
		return fmt.Sprintf("%d bytes without a header", len(content))
	}
	sum := sha256.Sum256(body)
	switch {
	case fields[1] != path:
		return "the content of " + fields[1]
	case fields[2] != fmt.Sprint(len(body)):
		return fmt.Sprintf("%d bytes of %s", len(body), fields[2])
	case fields[3] != hex.EncodeToString(sum[:]):
		return "another content than its header says"
	}
	return ""
}

// checkWhole fails for each torn file of a node, whether it runs or not. It
// returns how many files it saw.
func checkWhole(t *testing.T, n *fleet.Node) (seen int) {
	t.Helper()
	for _, dir := range chaosDirs {
		top := filepath.Join(n.Home, dir)
		err := filepath.WalkDir(top, func(full string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), magic) {
				return err
			}
			content, err := os.ReadFile(full)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(n.Home, full)
			if err != nil {
				return err
			}
			seen++
			if why := torn(rel, content); why != "" {
				t.Errorf("%s: %s is torn: %s", n.Name, rel, why)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	return seen
}

// writer keeps changing a master's files.
type writer struct {
	home  string
	rand  *rand.Rand
	files map[string]bool
	names []string
}

func newWriter(home string, seed uint64) *writer {
	w := &writer{home: home, rand: rand.New(rand.NewPCG(seed, 1)), files: map[string]bool{}}
	for i := range 120 {
		w.names = append(w.names, fmt.Sprintf("%s/%s%03d.xml", chaosDirs[i%len(chaosDirs)], magic, i))
	}
	return w
}

// step makes, replaces or removes a few files.
func (w *writer) step() error {
	for range 1 + w.rand.IntN(12) {
		path := w.names[w.rand.IntN(len(w.names))]
		if w.files[path] && w.rand.IntN(4) == 0 {
			if err := os.Remove(filepath.Join(w.home, path)); err != nil {
				return err
			}
			delete(w.files, path)
			continue
		}
		if err := save(w.home, path, describe(path, w.body())); err != nil {
			return err
		}
		w.files[path] = true
	}
	return nil
}

// body is mostly small and now and then a megabyte that does not shrink.
func (w *writer) body() []byte {
	size := w.rand.IntN(4 << 10)
	if w.rand.IntN(25) == 0 {
		size = 300<<10 + w.rand.IntN(1<<20)
	}
	body := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		v := w.rand.Uint64()
		for k := range 8 {
			body[i+k] = byte(v >> (8 * k))
		}
	}
	return body
}
