package cli

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/home"
)

// A configuration that was on trial when a node died is taken back before the
// next one reads it, but not under the hands of a node that runs.
func TestEndTrial(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "etc/ossec.conf")
	const before, tried = "<ossec_config></ossec_config>\n", "<ossec_config><a/></ossec_config>\n"
	if err := os.Mkdir(filepath.Dir(conf), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		conf: tried, filepath.Join(dir, "etc/.testudo-ossec.conf"): fmt.Sprintf("%x\n%s", sha256.Sum256([]byte(tried)), before),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(conf); string(got) != want || err != nil {
			t.Errorf("configuration %q (%v), want %q", got, err, want)
		}
	}
	running, err := home.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if told, err := endTrial(dir); len(told) > 0 || err != nil {
		t.Errorf("while a node runs: %v, %v", told, err)
	}
	is(tried)
	if err := running.Release(); err != nil {
		t.Fatal(err)
	}
	if told, err := endTrial(dir); err != nil || len(told) != 1 || !strings.Contains(told[0].String(), "The one before is back") {
		t.Errorf("told %v, %v", told, err)
	}
	is(before)
	if told, err := endTrial(dir); len(told) > 0 || err != nil {
		t.Errorf("again: %v, %v", told, err)
	}
}
