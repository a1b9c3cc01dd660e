package wdb

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"testudo/internal/recording"
	"testudo/internal/shortdir"

	gocmp "github.com/google/go-cmp/cmp"
)

// spoken is one message of a recording.
type spoken struct {
	at     float64 // since 1970
	conn   string
	toDB   bool
	text   string
	closed bool
}

// conversation reads all connections of a node, in the order of time.
func conversation(t *testing.T, node string) []spoken {
	t.Helper()
	var all []spoken
	for _, name := range recording.Glob(t, "golden/wdb/"+node+"-???.jsonl") {
		open := recording.Lines[recordedMessage](t, strings.TrimSuffix(name, ".jsonl")+".chunks.jsonl")[0]
		for _, m := range recording.Lines[recordedMessage](t, name) {
			text := m.Text
			if m.Base64 != "" {
				raw, err := base64.StdEncoding.DecodeString(m.Base64)
				if err != nil {
					t.Fatal(err)
				}
				text = string(raw)
			}
			all = append(all, spoken{open.T + m.T, filepath.Base(name), m.Dir == "c2s", text, m.Event == "eof"})
		}
	}
	slices.SortStableFunc(all, func(a, b spoken) int { return cmp.Compare(a.at, b.at) })
	return all
}

type recordedMessage struct {
	T      float64 `json:"t"`
	Dir    string  `json:"dir"`
	Event  string  `json:"event"`
	Text   string  `json:"payload_text"`
	Base64 string  `json:"payload_base64"`
}

// sameAnswer compares field by field. The one time that differs is when agent 0's
// row was made.
func sameAnswer(got, want string) string {
	gotWord, gotRest, _ := strings.Cut(got, " ")
	wantWord, wantRest, _ := strings.Cut(want, " ")
	if gotWord != wantWord {
		return fmt.Sprintf("got %.200q, want %.200q", got, want)
	}
	var g, w any
	if json.Unmarshal([]byte(wantRest), &w) != nil {
		return gocmp.Diff(wantRest, gotRest)
	}
	if err := json.Unmarshal([]byte(gotRest), &g); err != nil {
		return err.Error()
	}
	forgetTimes(g)
	forgetTimes(w)
	return gocmp.Diff(w, g)
}

func forgetTimes(v any) {
	list, _ := v.([]any)
	for _, element := range list {
		if row, is := element.(map[string]any); is && row["id"] == 0.0 {
			delete(row, "dateAdd")
		}
	}
}

// prepare makes the database as the recorded node's was: twelve agents, as its
// client.keys had them, and four groups.
func prepare(w *world) {
	for id := 1; id <= 12; id++ {
		w.want(fmt.Sprintf(`global insert-agent {"id":%d,"name":"agent-%06d","register_ip":"any","internal_key":"%064d","date_add":1700000000}`,
			id, id, id), "ok")
	}
	for _, group := range []string{"default", "web", "db", "linux"} {
		w.want("global insert-agent-group "+group, "ok")
	}
}

func replay(t *testing.T, w *world, all []spoken) {
	t.Helper()
	askers := map[string]*asker{}
	waiting := map[string]string{}
	n := 0
	for _, m := range all {
		switch {
		case m.closed || m.text == "":
		case m.toDB:
			if askers[m.conn] == nil {
				askers[m.conn] = newAsker(t, w.socket)
			}
			waiting[m.conn] = m.text
		default:
			n++
			got := askers[m.conn].ask(waiting[m.conn])
			if diff := sameAnswer(got, m.text); diff != "" {
				t.Errorf("%s %.100q: %s", m.conn, waiting[m.conn], diff)
			}
		}
	}
	if n == 0 {
		t.Error("nothing was compared")
	}
}

func TestGolden_Master(t *testing.T) {
	all := conversation(t, "master")
	w := newWorld(t, Options{})
	prepare(w)
	replay(t, w, all)
}

func TestGolden_Worker(t *testing.T) {
	all := conversation(t, "w1")
	w := newWorld(t, Options{SQLWrites: true})
	prepare(w)
	// What the agents had told this node before the recording began is in its
	// first answer.
	for _, m := range all {
		if _, list, found := strings.Cut(m.text, "ok [{"); found && !m.toDB {
			w.want("global sync-agent-info-set [{"+list, "ok")
			break
		}
	}
	w.want("global sql update agent set sync_status = 'syncreq' where id > 0", "ok []")
	replay(t, w, all)
}

// A file that the original made answers as it is.
func TestGolden_File(t *testing.T) {
	data := recording.Read(t, "golden/db/global.db")
	home := shortdir.New(t)
	if err := os.MkdirAll(filepath.Join(home, "queue/db"), 0o770); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "queue/db/global.db"), data, 0o640); err != nil {
		t.Fatal(err)
	}
	w := worldAt(t, home, Options{})
	w.want("global select-groups", `ok [{"name":"default"},{"name":"web"},{"name":"db"}]`)
	w.want("global select-agent-group 3", `ok [{"group":"web,db,default"}]`)
	w.want("global select-group-belong 3", `ok ["web","db","default"]`)
	w.want("global get-labels 2", `ok [{"id":2,"key":"\"team\"","value":"blue"}]`)
	w.want("global get-agents-by-connection-status 0 active", `ok [{"id":2},{"id":4}]`)
	w.want("global sql select count(*) from agent", `ok [{"count(*)":13}]`)
}
