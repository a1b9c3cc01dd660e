package wdb

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func (w *world) raw() *net.UnixConn {
	w.t.Helper()
	c, err := net.Dial("unix", w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

func (w *world) gone(c net.Conn) {
	w.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatal("the connection was not closed")
	}
}

func TestServer_HostileClientsDisturbNobody(t *testing.T) {
	w := newWorld(t, Options{MessageTime: 100 * time.Millisecond})
	good := newAsker(t, w.socket)
	const question, answer = "global select-groups", "ok []"
	for name, send := range map[string][]byte{
		"no message":      {0, 0, 0, 0},
		"too long":        binary.LittleEndian.AppendUint32(nil, 65537),
		"far too long":    {255, 255, 255, 255},
		"slow in between": append(binary.LittleEndian.AppendUint32(nil, 100), "global"...),
		"slow header":     {7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.raw()
			if _, err := c.Write(send); err != nil {
				t.Fatal(err)
			}
			w.gone(c)
			if got := good.ask(question); got != answer {
				t.Errorf("somebody else got %q", got)
			}
		})
	}
	t.Run("never reads", func(t *testing.T) {
		c := w.raw()
		body := "global " + strings.Repeat("x", 60_000)
		request := append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		for {
			if _, err := c.Write(bytes.Repeat(request, 20)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection was not closed")
			} else if err != nil {
				break
			}
		}
		if got := good.ask(question); got != answer {
			t.Errorf("somebody else got %q", got)
		}
	})
}

func TestServer_ManyConnections(t *testing.T) {
	w := newWorld(t, Options{Connections: 200})
	good := newAsker(t, w.socket)
	if got := good.ask("global select-groups"); got != "ok []" {
		t.Fatal(got)
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range 2000 {
		c, err := net.Dial("unix", w.socket)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if got := good.ask("global select-groups"); got != "ok []" {
		t.Errorf("a client of before got %q", got)
	}
	for _, c := range conns {
		c.Close()
	}
}

func TestServer_MessageOfTheLargestSize(t *testing.T) {
	w := newWorld(t, Options{})
	head := "global sql select length('"
	request := head + strings.Repeat("x", requestBytes-len(head)-len("') as n")) + "') as n"
	w.want(request, fmt.Sprintf(`ok [{"n":%d}]`, requestBytes-len(head)-len("') as n")))
}

func TestServer_LongReplyIsCut(t *testing.T) {
	w := newWorld(t, Options{})
	reply := w.ask("global sql with recursive n(i) as (select 1 union all select i + 1 from n limit 100000) select i from n\n")
	if len(reply) != replyBytes || !strings.HasPrefix(reply, `ok [{"i":1},{"i":2}`) {
		t.Errorf("%d bytes, %.40q", len(reply), reply)
	}
}

func TestServer_QueryTime(t *testing.T) {
	w := newWorld(t, Options{QueryTime: 200 * time.Millisecond, Queries: 1})
	const endless = "global sql with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			a := newAsker(t, w.socket)
			if got := a.ask(endless); !strings.HasPrefix(got, "err Cannot execute Global database query; interrupted") {
				t.Errorf("got %q", got)
			}
		})
	}
	// Those that ask little are served meanwhile.
	for range 20 {
		w.want("global select-groups", "ok []")
	}
	asking.Wait()
}

// Statements on agents' databases wait for one another; nobody else waits for them.
func TestServer_AgentQueriesKeepUpOnlyThemselves(t *testing.T) {
	w := newWorld(t, Options{QueryTime: time.Second, AgentQueries: 2})
	const statement, record = "agent 0 sql select count(*) as n from sys_hotfixes", `agent 0 dbsync hotfixes INSERTED {"hotfix":"KB1","checksum":"x"}`
	w.want(statement, `ok [{"n":0}]`)
	w.server.agentQueries.all <- struct{}{}
	w.want(statement, `ok [{"n":0}]`)
	w.server.agentQueries.all <- struct{}{}
	w.want(statement, "err Cannot execute SQL query")
	w.want(record, "ok ")
	<-w.server.agentQueries.all
	w.want(statement, `ok [{"n":1}]`)
}

func TestServer_WritesAreRefusedUnlessConfigured(t *testing.T) {
	w := newWorld(t, Options{})
	for _, statement := range []string{
		"insert into `group` (name) values ('x')", "delete from agent", "drop table agent", "update agent set name = 'x'",
		"create table x (y)", "with a as (select 1) delete from agent", "create temp table x (y)",
	} {
		got := w.ask("global sql " + statement)
		if !strings.HasPrefix(got, "err Cannot execute Global database query; ") {
			t.Errorf("%s: %q", statement, got)
		}
	}
	w.want("global sql delete from agent", "err Cannot execute Global database query; statements that write are refused here (setting agentdb.sql_writes)")
	w.want("global sql select id from agent", `ok [{"id":0}]`)
	w.want("agent 0 sql delete from sys_osinfo", "err Cannot execute SQL query; statements that write are refused here (setting agentdb.sql_writes)")
}

// A statement reaches nothing but the database.
func TestServer_StatementsStayInside(t *testing.T) {
	w := newWorld(t, Options{SQLWrites: true})
	for _, statement := range []string{
		"attach '" + w.home + "/x.db' as x", "vacuum into '" + w.home + "/x.db'", "pragma journal_mode = off",
		"pragma foreign_keys = off", "select load_extension('x')", "select readfile('/etc/passwd')",
		"pragma writable_schema = on", "create virtual table x using fts5(y)",
	} {
		for _, actor := range []string{"global", "agent 000"} {
			if got := w.ask(actor + " sql " + statement); !strings.HasPrefix(got, "err ") {
				t.Errorf("%s sql %s: %q", actor, statement, got)
			}
		}
	}
	if _, err := os.Stat(w.home + "/x.db"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

// SQL in arguments is a name like any other.
func TestServer_SQLInArguments(t *testing.T) {
	w := newWorld(t, Options{})
	for _, evil := range []string{`x'; drop table agent; --`, `' or '1'='1`, `"; delete from agent; --`, "%", "_", "\x80\xff", "Ω 'x'"} {
		w.want(`global insert-agent {"id":1,"name":`+string(appendString(nil, evil))+`,"date_add":1,"register_ip":"1.1.1.1"}`, "ok")
		w.want(`global select-agent-name 1`, `ok [{"name":`+string(appendString(nil, evil))+`}]`)
		w.want(`global find-agent {"name":`+string(appendString(nil, evil))+`,"ip":"1.1.1.1"}`, `ok [{"id":1}]`)
		w.want(`global find-agent {"name":"other","ip":`+string(appendString(nil, evil))+`}`, `ok []`)
		for _, request := range []string{
			"global get-agents-by-connection-status 0 " + evil, "global get-agent-info " + evil, "global find-group " + evil,
			"global insert-agent-group " + evil, "global delete-group " + evil, "global get-group-agents " + evil + " last_id 0",
			"global get-distinct-groups " + evil, "global disconnect-agents 0 1 " + evil, "global reset-agents-connection " + evil,
			"global select-group-belong " + evil, "global sync-agent-info-get " + evil, "global backup " + evil,
			`global update-keepalive {"id":1,"connection_status":` + string(appendString(nil, evil)) + `,"sync_status":"synced"}`,
			`global set-agent-groups {"mode":"override","data":[{"id":1,"groups":[` + string(appendString(nil, evil)) + `]}]}`,
			`global list-agents {"name":` + string(appendString(nil, evil)) + `}`, "wazuhdb remove " + evil, "agent " + evil + " sql select 1",
		} {
			if got := w.ask(request); got == "(closed)" {
				t.Errorf("%q closed the connection", request)
			}
		}
		w.want("global sql select count(*) from agent", `ok [{"count(*)":2}]`)
		w.want("global delete-agent 1", "ok")
	}
	w.want("global delete-agent abc", "err Error deleting agent from agent table in global.db.")
	w.want("global sql select count(*) from agent", `ok [{"count(*)":1}]`)
}

func TestServer_ListAndCount(t *testing.T) {
	w := newWorld(t, Options{})
	w.want("global insert-agent-group web", "ok")
	var inserting sync.WaitGroup
	for part := range 50 {
		inserting.Go(func() {
			a := newAsker(t, w.socket)
			for id := part*50 + 1; id <= part*50+50; id++ {
				if got := a.ask(fmt.Sprintf(`global insert-agent {"id":%d,"name":"agent-%d","date_add":1}`, id, id)); got != "ok" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	inserting.Wait()
	w.want(`global set-agent-groups {"mode":"override","data":[{"id":7,"groups":["web"]}]}`, "ok")
	w.want(`global update-keepalive {"id":7,"connection_status":"active","sync_status":"synced"}`, "ok")
	type list struct {
		Total  int
		Agents []shownAgent
	}
	ask := func(args string) (l list, more bool) {
		t.Helper()
		reply := w.ask("global list-agents" + args)
		word, payload, _ := strings.Cut(reply, " ")
		if err := json.Unmarshal([]byte(payload), &l); err != nil || len(reply) > replyBytes {
			t.Fatalf("%.100q: %v", reply, err)
		}
		return l, word == "due"
	}
	for args, want := range map[string]struct {
		total, here int
		more        bool
	}{
		` {"group":"web"}`: {1, 1, false}, ` {"status":"active"}`: {1, 1, false}, ` {"name":"agent-25"}`: {12, 12, false},
		` {"limit":3}`: {2500, 3, false}, ` {"status":"nope"}`: {0, 0, false}, ` {"after":2498}`: {2500, 2, false},
	} {
		l, more := ask(args)
		if l.Total != want.total || len(l.Agents) != want.here || more != want.more {
			t.Errorf("%s: total %d, %d here, more %v; want %+v", args, l.Total, len(l.Agents), more, want)
		}
	}
	seen, last := 0, "0"
	for more := true; more; {
		var l list
		l, more = ask(` {"after":` + afterArg(last) + `}`)
		for _, a := range l.Agents {
			seen++
			last = a.ID
		}
	}
	if seen != 2500 {
		t.Errorf("%d agents on all pages", seen)
	}
	one, _ := ask(` {"group":"web"}`)
	if a := one.Agents[0]; a.ID != "007" || a.Status != "active" || len(a.Groups) != 1 || a.Groups[0] != "web" || a.LastKeepalive == 0 {
		t.Errorf("%+v", a)
	}
	var c struct {
		Total    int            `json:"total"`
		ByStatus map[string]int `json:"by_status"`
		ByNode   map[string]map[string]int
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(w.ask("global count-agents"), "ok ")), &c); err != nil ||
		c.Total != 2500 || c.ByStatus["active"] != 1 || c.ByStatus["never_connected"] != 2499 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{` {"after":-1}`, ` {"limit":"x"}`, ` {"status":5}`, ` []`} {
		if got := w.ask("global list-agents" + bad); !strings.HasPrefix(got, "err Invalid JSON data, near") {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

// afterArg writes an id as a number.
func afterArg(id string) string {
	if id = strings.TrimLeft(id, "0"); id == "" {
		return "0"
	}
	return id
}

// Whatever is asked, there is an answer, and the database stays sound.
func FuzzRequest(f *testing.F) {
	for _, c := range readExamples(f) {
		if !strings.Contains(c.text, "sleep") && !strings.Contains(c.text, "backup") {
			f.Add(c.text)
		}
	}
	w := newWorld(f, Options{QueryTime: 2 * time.Second, SQLWrites: false})
	n := 0
	f.Fuzz(func(t *testing.T, request string) {
		if request == "" || strings.Contains(request, "sleep") || strings.Contains(request, "backup") {
			return
		}
		r := w.server.handle(t.Context(), nil, []byte(request))
		if len(r) == 0 || len(r) > replyBytes {
			t.Fatalf("%q: a reply of %d bytes", request, len(r))
		}
		if bytes.HasPrefix(r, []byte("err Internal error")) {
			t.Fatalf("%q broke", request)
		}
		if n++; n%512 == 0 {
			if got := w.server.handle(t.Context(), nil, []byte("global sql pragma integrity_check")); string(got) != `ok [{"integrity_check":"ok"}]` {
				t.Fatalf("after %q: %s", request, got)
			}
		}
	})
}
