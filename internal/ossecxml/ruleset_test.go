package ossecxml

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/recording"
)

// Real files that people wrote: every one that the original's reader takes must
// be taken.
func TestParse_RealRuleset(t *testing.T) {
	dir := recording.Path(t, "data/ruleset")
	files := 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, ".xml") {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		files++
		if roots, err := Parse(file, Limits{}); err != nil || len(roots) == 0 {
			t.Errorf("%s: %d roots, %v", e.Name(), len(roots), err)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
	t.Logf("%d files", files)
}
