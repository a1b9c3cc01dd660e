package wdb

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"testudo/internal/shortdir"
)

// exampleRequest is one line of testdata/requests.txt.
type exampleRequest struct {
	line   int
	text   string
	ours   string // where it differs on purpose
	reason string
}

func readExamples(t testing.TB) []exampleRequest {
	t.Helper()
	f, err := os.Open("testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []exampleRequest
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '=':
			all[len(all)-1].ours = strings.TrimPrefix(line, "= ")
		case line[0] == ';':
			all[len(all)-1].reason = strings.TrimPrefix(line, "; ")
		case line[0] == '"':
			text, err := strconv.Unquote(line)
			if err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
			all = append(all, exampleRequest{line: n, text: text})
		default:
			all = append(all, exampleRequest{line: n, text: line})
		}
	}
	return all
}

// reference starts a database daemon of the original in a new home and returns
// its socket.
func reference(t *testing.T) string {
	t.Helper()
	at := os.Getenv("TESTUDO_REFERENCE_HOME")
	if at == "" {
		t.Skip("TESTUDO_REFERENCE_HOME is not set: no 4.7.5 to compare with")
	}
	parent := shortdir.New(t)
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(parent, "h")
	make := exec.Command(filepath.Join(at, "mkhome"), home, "master", "m1", "0123456789abcdef0123456789abcdef", "25999", "127.0.0.1")
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("mkhome: %v\n%s", err, out)
	}
	daemon := exec.Command(filepath.Join(home, "bin/wazuh-db"), "-f")
	daemon.Dir = home
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
	})
	socket := filepath.Join(home, "queue/db/wdb")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return socket
		}
	}
	t.Fatal("the original did not start")
	return ""
}

// ofNow are the times that a test's own run leaves in the answers.
var ofNow = regexp.MustCompile(`\b1[0-9]{9}\b`)

func withoutNow(reply string, begun time.Time) string {
	return ofNow.ReplaceAllStringFunc(reply, func(text string) string {
		n, _ := strconv.ParseInt(text, 10, 64)
		if d := n - begun.Unix(); d >= -5 && d < 600 {
			return "NOW"
		}
		return text
	})
}

// Every request of the table gets the original's answer from us, except where
// the table says why not.
func TestReference_SameAnswers(t *testing.T) {
	begun := time.Now()
	theirs := newAsker(t, reference(t))
	w := newWorld(t, Options{SQLWrites: true})
	ours := newAsker(t, w.socket)
	for _, c := range readExamples(t) {
		want, got := theirs.ask(c.text), ours.ask(c.text)
		if c.ours != "" {
			if c.ours != "(any)" && got != c.ours {
				t.Errorf("line %d: %.120q\n ours %.300q\n want %.300q", c.line, c.text, got, c.ours)
			}
			if c.reason == "" {
				t.Errorf("line %d: no reason for the difference", c.line)
			}
			if c.ours == want {
				t.Errorf("line %d: %.120q is no difference any more", c.line, c.text)
			}
			continue
		}
		if got, want := withoutNow(got, begun), withoutNow(want, begun); got != want {
			t.Errorf("line %d: %.120q\n ours %.400q\ntheirs %.400q", c.line, c.text, got, want)
		}
	}
}

// Pages end with the same agent.
func TestReference_SamePages(t *testing.T) {
	theirs := newAsker(t, reference(t))
	w := newWorld(t, Options{SQLWrites: true})
	ours := newAsker(t, w.socket)
	both := func(request string) {
		t.Helper()
		if got, want := ours.ask(request), theirs.ask(request); got != want {
			t.Errorf("%.100q\n ours %d bytes %.80q … %.80q\ntheirs %d bytes %.80q … %.80q", request,
				len(got), got, tail(got), len(want), want, tail(want))
		}
	}
	const agents = 9000
	both("global insert-agent-group default")
	both("global insert-agent-group a-group-with-a-longer-name")
	both(fmt.Sprintf("global sql with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) "+
		"insert into agent (id, name, date_add, connection_status, last_keepalive, sync_status) "+
		"select i, 'agent-' || i, 1, 'active', 5, 'syncreq' from n", agents))
	both("global sql insert into belongs select id, 1, 0 from agent where id > 0")
	both("global sql insert into belongs select id, 2, 1 from agent where id > 0 and id % 3 = 0")
	both("global recalculate-agent-group-hashes")
	for _, request := range []string{
		"global get-all-agents last_id 0", "global get-all-agents last_id 3000", "global get-all-agents last_id 6000",
		"global get-agents-by-connection-status 0 active", "global get-agents-by-connection-status 0 active unknown 8000",
		"global get-group-agents default last_id 0", "global sync-agent-info-get", "global sync-agent-info-get",
		`global sync-agent-groups-get {"condition":"all"}`, `global sync-agent-groups-get {"condition":"all","last_id":2000}`,
		`global sync-agent-groups-get {"condition":"all","last_id":8000,"get_global_hash":true}`,
		"global sql select id, name, `group` from agent", "global disconnect-agents 0 10 syncreq",
		"global get-agents-by-connection-status 0 disconnected",
	} {
		both(request)
	}
}

func tail(text string) string { return text[max(0, len(text)-80):] }
