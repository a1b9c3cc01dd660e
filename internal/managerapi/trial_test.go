package managerapi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/fault"
)

// A process that dies while the daemon looks at a new configuration has not put
// it in force: the next start has the one before.
func TestUpdateConf_CrashWhileTried(t *testing.T) {
	h, later := newHouse(t), newHouse(t)
	h.serve(comSocket, func(string) string {
		for _, name := range []string{"etc/ossec.conf", trialFile} { // all that a crash leaves
			later.write(name, h.read(name))
		}
		return `{"error": 0}`
	})
	wanted := conf("w3") + "<!-- new -->"
	if got := h.items(h.update(wanted)); got != `["w3"]` || h.read("etc/ossec.conf") != wanted || Trial(h.dir) {
		t.Errorf("items %s, configuration %q, on trial %t", got, h.read("etc/ossec.conf"), Trial(h.dir))
	}
	if !Trial(later.dir) || later.read("etc/ossec.conf") != wanted {
		t.Fatalf("after the crash: on trial %t, configuration %q", Trial(later.dir), later.read("etc/ossec.conf"))
	}
	if undone, err := EndTrial(later.dir); !undone || err != nil {
		t.Errorf("undone %t, %v", undone, err)
	}
	if got := later.read("etc/ossec.conf"); got != conf("w3") || Trial(later.dir) {
		t.Errorf("after the start: on trial %t, configuration %q", Trial(later.dir), got)
	}
}

// What cannot be put back at once is kept until it can.
func TestUpdateConf_CannotGoBack(t *testing.T) {
	h := newHouse(t)
	path := filepath.Join(h.dir, "etc/ossec.conf")
	h.serve(comSocket, func(string) string {
		if err := errors.Join(os.Rename(path, path+".tried"), os.MkdirAll(filepath.Join(path, "in the way"), 0o700)); err != nil {
			t.Error(err)
		}
		return `{"error": 1, "message": "ERROR: (1226): Error reading XML file"}`
	})
	h.failure(h.update(conf("w3") + "<!-- new -->"))
	if err := errors.Join(os.RemoveAll(path), os.Rename(path+".tried", path)); err != nil {
		t.Fatal(err)
	}
	if undone, err := EndTrial(h.dir); !undone || err != nil {
		t.Errorf("undone %t, %v", undone, err)
	}
	if got := h.read("etc/ossec.conf"); got != conf("w3") {
		t.Errorf("configuration %q", got)
	}
}

func TestEndTrial(t *testing.T) {
	const before, tried = "<a/>\n", "<b/>"
	tests := []struct {
		name, now, trial, want string
		undone, fails          bool
	}{
		{"as it was tried", tried, string(trialOf([]byte(tried), []byte(before))), before, true, false},
		{"changed since", "<c/>", string(trialOf([]byte(tried), []byte(before))), "<c/>", false, false},
		{"the one before", before, string(trialOf([]byte(tried), []byte(before))), before, false, false},
		{"no trial", tried, "", tried, false, false},
		{"no digest", tried, "<ossec_config>\n</ossec_config>\n", tried, false, true},
		{"one line", tried, strings.Repeat("a", 64), tried, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.write("etc/ossec.conf", test.now)
			if test.trial != "" {
				h.write(trialFile, test.trial)
			}
			undone, err := EndTrial(h.dir)
			if undone != test.undone || (err != nil) != test.fails {
				t.Errorf("undone %t, %v", undone, err)
			}
			if got := h.read("etc/ossec.conf"); got != test.want {
				t.Errorf("configuration %q, want %q", got, test.want)
			}
			if Trial(h.dir) != test.fails {
				t.Errorf("still on trial: %t", Trial(h.dir))
			}
		})
	}
}

// Where the one before cannot be kept nothing is tried.
func TestUpdateConf_NothingToGoBackTo(t *testing.T) {
	h := newHouse(t)
	h.serve(comSocket, always(`{"error": 0}`))
	if err := os.Mkdir(filepath.Join(h.dir, trialFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := h.failure(h.update(conf("w3") + "<!-- new -->")); got.Code != fault.BackupFailed {
		t.Errorf("error %v, want %d", got, fault.BackupFailed)
	}
	if h.read("etc/ossec.conf") != conf("w3") || len(h.requests(comSocket)) > 0 {
		t.Errorf("configuration %q, asked %q", h.read("etc/ossec.conf"), h.requests(comSocket))
	}
}
