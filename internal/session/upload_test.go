package session

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const upload = "/queue/cluster/w1/w1-1795347359.224402-64bc3410.zip"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:])
}

func TestUpload_WholeFile(t *testing.T) {
	tab := newTable(t, Config{}).run()
	if got := tab.p.OK("new_file", upload); got != "Ready to receive new file" {
		t.Errorf("new_file: %q", got)
	}
	for _, chunk := range []string{"PK", "", " with spaces\x00 "} {
		if got := tab.p.OK("file_upd", upload+" "+chunk); got != "File updated" {
			t.Errorf("file_upd: %q", got)
		}
	}
	text := "PK with spaces\x00 "
	if got := tab.p.OK("file_end", upload+" "+digest(text)); got != "File received correctly" {
		t.Errorf("file_end: %q", got)
	}
	u, err := tab.uploads.take(upload[1:]) // as X_e names it
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(u.Reader())
	if err != nil || string(got) != text || u.Size() != int64(len(text)) || u.Sum() != sha256.Sum256([]byte(text)) {
		t.Errorf("%q, %v, size %d", got, err, u.Size())
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if left := tab.files(); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

// A disk that is full is the same failure for each upload, whatever its name.
func TestUpload_FailuresAreAlike(t *testing.T) {
	st := uploadStore{dir: "queue/cluster/w1"}
	seen := map[string]bool{}
	for _, name := range []string{"a.zip", "b.zip"} {
		err := st.failed("store upload", &fs.PathError{Op: "write", Path: "/home/queue/cluster/w1/" + name, Err: syscall.ENOSPC})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v is not %v", err, syscall.ENOSPC)
		}
		seen[err.Error()] = true
	}
	if want := "store upload in queue/cluster/w1: no space left on device"; len(seen) != 1 || !seen[want] {
		t.Errorf("%v, want %q only", seen, want)
	}
	tab := newTable(t, Config{}).run()
	tab.p.OK("new_file", upload)
	tab.p.Refused("new_file", upload, "begin upload in queue/cluster/w1: file exists")
}

func TestUpload_Directory(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK("echo", "")
	info, err := os.Stat(filepath.Join(tab.home, "queue/cluster/w1"))
	if err != nil || info.Mode() != os.ModeDir|0o770 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestUpload_Refused(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK("new_file", upload)
	tab.p.OK("file_upd", upload+" whole")
	for _, c := range []struct{ command, payload, want string }{
		{"new_file", upload, "file exists"},
		{"file_upd", upload, "expected"},
		{"file_upd", "/queue/cluster/w1/other.zip x", ErrUnknownUpload.Error()},
		{"file_upd", "/tmp/none x", ErrUploadPath.Error()},
		{"file_end", "/queue/cluster/w1/other.zip " + digest(""), ErrUnknownUpload.Error()},
		{"file_end", upload, "expected"},
		{"file_end", upload + " " + strings.Repeat("0", 64), "File wasn't correctly received. Checksums aren't equal."},
		{"file_upd", upload + " x", ErrUnknownUpload.Error()}, // the wrong digest removed it
	} {
		tab.p.Refused(c.command, c.payload, c.want)
	}
	if left := tab.files(); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestUpload_Empty(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK("new_file", upload)
	tab.p.OK("file_end", upload+" "+digest(""))
	tab.p.Refused("file_upd", upload+" more", "finished")
}

func TestUpload_TakenBeforeItsEnd(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK("new_file", upload)
	if _, err := tab.uploads.take(upload); !errors.Is(err, ErrIncomplete) {
		t.Errorf("%v, want %v", err, ErrIncomplete)
	}
}

func TestUpload_Expires(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{UploadAge: 10 * time.Minute}}).run()
		fed := "/queue/cluster/w1/fed.zip"
		tab.p.OK("new_file", upload)
		tab.p.OK("new_file", fed)
		for range 4 {
			time.Sleep(4 * time.Minute)
			tab.p.OK("file_upd", fed+" x")
		}
		tab.p.Refused("file_upd", upload+" x", ErrUnknownUpload.Error())
		if left := tab.files(); len(left) != 1 || left[0] != fed[1:] {
			t.Errorf("on disk: %v", left)
		}
	})
}

// Nothing survives its session.
func TestUpload_EndsWithTheSession(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK("new_file", upload)
	tab.p.OK("file_upd", upload+" x")
	tab.p.OK("new_file", upload+"2")
	tab.p.OK("file_end", upload+"2 "+digest(""))
	tab.p.Close()
	_ = tab.end()
	if left := tab.files(); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
	if err := tab.uploads.create(upload); !errors.Is(err, ErrClosed) {
		t.Errorf("a file afterwards: %v", err)
	}
}

// A node without a home takes no files.
func TestUpload_WithoutAHome(t *testing.T) {
	tab := newTable(t, Config{})
	tab.uploads.home = nil
	tab.run()
	tab.p.Refused("new_file", upload, ErrClosed.Error())
}

// A full disk is the peer's to know and ours to survive.
func TestUpload_DirectoryGone(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK("echo", "")
	if err := os.RemoveAll(filepath.Join(tab.home, "queue")); err != nil {
		t.Fatal(err)
	}
	tab.p.Refused("new_file", upload, "no such file")
	tab.p.OK("echo", "still there")
}
