package registrar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
)

// ask is what sendsync does: it hands a worker's question to the master's daemon.
func (w *world) ask(ctx context.Context, _ string, question []byte) ([]byte, error) {
	var q struct {
		Daemon  string          `json:"daemon_name"`
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(question, &q); err != nil || q.Daemon != "authd" {
		return nil, errors.New("Error 1014 - Error communicating with socket: '" + q.Daemon + "'")
	}
	return w.AnswerWorker(ctx, "w1", q.Message), nil
}

// worker is one that asks this master.
func (w *world) worker(testudo bool) *Worker {
	return NewWorker(WorkerConfig{
		Ask: w.ask, PeerHas: func(f string) bool { return testudo && f == Feature }, Settings: enrolment.DefaultSettings(),
	})
}

func manyGroups(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "g" + strconv.Itoa(i)
	}
	return strings.Join(names, ",")
}

// What agents are told, at the master and at a worker (docs/enrolment.md §4). The
// checks of the line itself are ParseLine's.
func TestRefusals_AtThePort(t *testing.T) {
	plain := func(t *testing.T, w *world) {
		w.enrols(t, line("web-01", "IP:'10.0.0.7'"))
		w.enrols(t, line("net", "IP:'10.1.0.0/16'"))
		w.enrols(t, line("host", "IP:'10.0.0.8/32'"))
		w.enrols(t, line("six", "IP:'2001:db8::1'"))
	}
	tests := []struct {
		name, line     string
		master, worker string // "" for a key
	}{
		{name: "new", line: line("new")},
		{name: "groups", line: line("new", "G:'default,web'")},
		{name: "no such group", line: line("new", "G:'default,absent'"), master: "Invalid group: absent", worker: "Invalid Group(s) Name(s)"},
		{name: "a file is no group", line: line("new", "G:'file'"), master: "Invalid group: file", worker: "Invalid Group(s) Name(s)"},
		{name: "a directory outside", line: line("new", "G:'..'"), master: "Invalid group: ..", worker: "Invalid Group(s) Name(s)"},
		{name: "groups come first", line: line("web-01", "G:'absent'"), master: "Invalid group: absent", worker: "Invalid Group(s) Name(s)"},
		{name: "too many groups", line: line("new", "G:'"+manyGroups(129)+"'"), master: "Maximum multigroup reached: Limit is 128", worker: "Invalid Group(s) Name(s)"},
		{name: "name", line: line("web-01"), master: "Duplicate agent name: web-01", worker: "Duplicate name"},
		{name: "name in other case", line: line("WEB-01")},
		{name: "address", line: line("new", "IP:'10.0.0.7'"), master: "Duplicate IP: 10.0.0.7", worker: "Duplicate IP"},
		{name: "address of the peer", line: line("new", "IP:'src'")},
		{name: "address comes before name", line: line("web-01", "IP:'10.0.0.7'"), master: "Duplicate IP: 10.0.0.7", worker: "Duplicate IP"},
		{name: "address comes before own name", line: line(hostName, "IP:'10.0.0.7'"), master: "Duplicate IP: 10.0.0.7", worker: "Duplicate IP"},
		{name: "address stored with /32", line: line("new", "IP:'10.0.0.8'"), master: "Duplicate IP: 10.0.0.8", worker: "Duplicate IP"},
		{name: "address asked with /32 is not compared", line: line("new", "IP:'10.0.0.7/32'")},
		{name: "the same network", line: line("new", "IP:'10.1.0.0/16'")},
		{name: "a network's own address", line: line("new", "IP:'10.1.0.0'"), master: "Duplicate IP: 10.1.0.0", worker: "Duplicate IP"},
		{name: "an address in a network", line: line("new", "IP:'10.1.0.1'")},
		{name: "IPv6", line: line("new", "IP:'2001:DB8:0::1'"), master: "Duplicate IP: 2001:0DB8:0000:0000:0000:0000:0000:0001", worker: "Duplicate IP"},
		{name: "own name", line: line(hostName), master: "Invalid agent name: " + hostName, worker: "Duplicate name"},
		{name: "own name in other case", line: line(strings.ToUpper(hostName))},
	}
	for _, through := range []string{"master", "worker", "worker of 4.7.5"} {
		for _, tt := range tests {
			t.Run(through+"/"+tt.name, func(t *testing.T) {
				w := newWorld(t)
				if err := os.WriteFile(filepath.Join(w.dir, "etc/shared/file"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				plain(t, w)
				register, want := w.Register, tt.master
				if through != "master" {
					register, want = w.worker(through == "worker").Register, tt.worker
				}
				reg, err := register(t.Context(), request(t, tt.line), "192.0.2.7")
				got := ""
				if refusal, is := errors.AsType[*enrolment.Refusal](err); is {
					got = refusal.Text
				} else if err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("refused with %q, want %q", got, want)
				}
				if want == "" {
					if key, err := enrolment.ParseAccepted(reg.Answer()); err != nil || key.ID != 5 {
						t.Errorf("%v, %v", key, err)
					}
				}
			})
		}
	}
}

// The queue of the database is full, or the keys cannot be written.
func TestRefusals_WhenNothingCanBeStored(t *testing.T) {
	w := newWorld(t, room(1))
	w.db.set(errAway)
	w.enrols(t, line("first"))
	if got := w.refused(t, line("second")); got != "Internal manager error adding agent: second" {
		t.Error(got)
	}
	if got := w.says(t, `{"function":"add","arguments":{"name":"second","ip":"any"}}`); got != `{"error":9001,"message":"Internal error"}` {
		t.Error(got)
	}
	if got := w.says(t, `{"function":"remove","arguments":{"id":"001"}}`); got != `{"error":9001,"message":"Internal error"}` {
		t.Error(got)
	}
	_, err := w.worker(true).Register(t.Context(), request(t, line("second")), "192.0.2.7")
	if refusal, is := errors.AsType[*enrolment.Refusal](err); !is || refusal.Text != "Internal error" {
		t.Error(err)
	}
	if n := w.keys.Len(); n != 1 {
		t.Errorf("%d keys", n)
	}

	w = newWorld(t)
	if err := w.keys.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.refused(t, line("late")); got != "Internal manager error adding agent: late" {
		t.Error(got)
	}
}

// The reply and client.keys show addresses differently (docs/enrolment.md §4, §7).
func TestRegister_Addresses(t *testing.T) {
	w := newWorld(t)
	w.cfg.Settings.UseSourceIP = false
	for _, tt := range []struct{ part, shown, stored, bare string }{
		{"IP:'10.0.0.0/255.255.0.0'", "10.0.0.0/255.255.0.0", "10.0.0.0/16", "10.0.0.0"},
		{"IP:'10.0.0.7/32'", "10.0.0.7/32", "10.0.0.7", "10.0.0.7"},
		{"IP:'src'", "192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"IP:'any'", "any", "any", "any"},
		{"IP:'2001:db8::/32'", "2001:0DB8:0000:0000:0000:0000:0000:0000/32", "2001:0DB8:0000:0000:0000:0000:0000:0000/32", "2001:0DB8:0000:0000:0000:0000:0000:0000"},
	} {
		name := "agent" + strconv.Itoa(w.keys.Len())
		reg, err := w.Register(t.Context(), request(t, line(name, tt.part)), "192.0.2.7")
		if err != nil {
			t.Fatal(tt, err)
		}
		reg.Delivered()
		row, _ := w.db.row(number(reg.Entry))
		if reg.Address != tt.shown || reg.Entry.Address != tt.stored || row.RegisterIP != tt.bare {
			t.Errorf("%s: shown %s, stored %s, in the database %s", tt.part, reg.Address, reg.Entry.Address, row.RegisterIP)
		}
		if want := "OSSEC K:'" + reg.Entry.ID + " " + name + " " + tt.shown + " "; !bytes.HasPrefix(reg.Answer(), []byte(want)) {
			t.Errorf("%s: %.60q", tt.part, reg.Answer())
		}
	}
}

// What the local socket answers (docs/enrolment.md §9), one message after the other.
func TestAnswer(t *testing.T) {
	w := newWorld(t)
	const (
		key     = "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
		lenient = `"force":{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":true,"value":"1h"},"after_registration_time":0}`
	)
	problem := func(code int) string {
		return string(enrolment.Answer{Refusal: enrolment.Refused(code)}.JSON())
	}
	add := func(arguments string) string { return `{"function":"add","arguments":{` + arguments + `}}` }
	agentAnswer := func(id, name, ip string) string {
		return `{"error":0,"data":{"id":"` + id + `","name":"` + name + `","ip":"` + ip + `","key":"` + key + `"}}`
	}
	for _, tt := range []struct{ message, want string }{
		{`{`, problem(9002)},
		{`{"arguments":{}}`, problem(9003)},
		{`{"function":"add"}`, problem(9004)},
		{`{"function":"fly","arguments":{}}`, problem(9001)},
		{add(`"ip":"any"`), problem(9005)},
		{add(`"name":"a"`), problem(9006)},
		{add(`"name":"a b","ip":"any"`), problem(9005)},
		{add(`"name":"","ip":"any"`), problem(9005)},
		{add(`"name":"` + strings.Repeat("n", 129) + `","ip":"any"`), problem(9005)},
		{add(`"name":"a","ip":"any","id":"abc"`), problem(9010)},
		{add(`"name":"a","ip":"any","id":"000"`), problem(9010)},
		{add(`"name":"a","ip":"any","id":"123456789"`), problem(9010)},
		{add(`"name":"a","ip":"any","key":"a b"`), problem(9009)},
		{add(`"name":"a","ip":"any","force":{}`), problem(9002)},
		{add(`"name":"a","ip":"nowhere"`), problem(9006)},
		{add(`"name":"a","ip":"any","groups":"absent"`), problem(9014)},
		{add(`"name":"a","ip":"nowhere","groups":"absent"`), problem(9014)},
		{add(`"name":"a","ip":"any","groups":"../../etc"`), problem(9014)},
		{add(`"name":"a","ip":"any","groups":"` + manyGroups(129) + `"`), problem(9014)},
		{add(`"name":"` + hostName + `","ip":"any"`), problem(9008)},
		{add(`"name":"one","ip":"10.0.0.7","key":"` + key + `","groups":""`), agentAnswer("001", "one", "10.0.0.7")},
		{add(`"name":"two","ip":"10.0.0.8/32","key":"` + key + `","id":"500"`), agentAnswer("500", "two", "10.0.0.8/32")},
		{add(`"name":"three","ip":"any","key":"` + key + `"`), agentAnswer("501", "three", "any")},
		{add(`"name":"four","ip":"nowhere","id":"001"`), problem(9012)},
		{add(`"name":"four","ip":"10.0.0.7"`), problem(9007)},
		{add(`"name":"one","ip":"10.0.0.7"`), problem(9007)},
		{add(`"name":"one","ip":"any"`), problem(9008)},
		{add(`"name":"one","ip":"any","key":"` + key + `",` + lenient), agentAnswer("502", "one", "any")},
		{`{"function":"get","arguments":{"id":"001"}}`, problem(9011)},
		{`{"function":"get","arguments":{"id":"500"}} and more`, agentAnswer("500", "two", "10.0.0.8")},
		{`{"function":"get","arguments":{}}`, problem(9010)},
		{`{"function":"remove","arguments":{}}`, problem(9010)},
		{`{"function":"remove","arguments":{"id":"7"}}`, problem(9011)},
		{`{"function":"remove","arguments":{"id":"502"}}`, `{"error":0,"data":"Agent deleted successfully."}`},
		{`{"function":"remove","arguments":{"id":"501","purge":true}}`, `{"error":0,"data":"Agent deleted successfully."}`},
		{`{"function":"remove","arguments":{"id":"501"}}`, problem(9011)},
		{`{"function":"confirm","arguments":{"id":"500"}}`, `{"error":0,"data":"Agents confirmed."}`},
		{`{"function":"confirm","arguments":{"id":"500,501"}}`, problem(9011)},
		{"getconfig", "err AUTHCOM getconfig needs arguments"},
		{"getconfig auths", "err Could not get requested section"},
		{"restart", "err Unrecognized command"}, //nolint:misspell // the original's
		{"getconfig auth", "ok " + string(enrolment.DefaultSettings().JSON())},
	} {
		if got := w.says(t, tt.message); got != tt.want {
			t.Errorf("%.100s: %s, want %s", tt.message, got, tt.want)
		}
	}
	if got := w.removedLines(t); !strings.Contains(got, "001 !one 10.0.0.7 "+key+"\n") || !strings.Contains(got, "502 !one any "+key+"\n") || strings.Count(got, "\n") != 2 {
		t.Errorf("removed lines %q", got)
	}
	if strings.Contains(w.log.String(), key) {
		t.Error("the log shows a key")
	}
}

// removedLines is the lines of client.keys of agents that are gone.
func (w *world) removedLines(t testing.TB) (lines string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "etc/client.keys"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if strings.Contains(l, " !") {
			lines += l
		}
	}
	return lines
}

// With purge in the settings nothing stays of an agent, whoever removes it.
func TestRemove_Purges(t *testing.T) {
	w := newWorld(t, purging)
	w.enrols(t, line("one"))
	w.says(t, `{"function":"remove","arguments":{"id":"001"}}`)
	if got := w.removedLines(t); got != "" {
		t.Error(got)
	}
	if len(w.db.deleted) != 1 || w.db.deleted[0] != "001 one" {
		t.Error(w.db.deleted)
	}
}

// A worker's socket answers nothing but what the worker can know.
func TestWorker_Answer(t *testing.T) {
	w := newWorld(t).worker(true)
	for message, want := range map[string]string{
		`{`: `{"error":9015,"message":"Cannot execute this request on a worker node"}`,
		`{"function":"get","arguments":{"id":"001"}}`: `{"error":9015,"message":"Cannot execute this request on a worker node"}`,
		"getconfig auth": "ok " + string(enrolment.DefaultSettings().JSON()),
		"getconfig":      "err AUTHCOM getconfig needs arguments",
	} {
		if got := string(w.Answer(t.Context(), []byte(message))); got != want {
			t.Errorf("%s: %s", message, got)
		}
	}
}

// The rules decide by what the database knows; those of a message come before
// those of the settings (docs/enrolment.md §6).
func TestForce(t *testing.T) {
	const old = 2 * time.Hour
	gone := enrolment.Existing{Status: agent.Disconnected, DisconnectedAt: ago(old), AddedAt: ago(old)}
	lenient := `,"force":{"enabled":true,"key_mismatch":true,"disconnected_time":{"enabled":false,"value":0},"after_registration_time":0}`
	strict := `,"force":{"enabled":false,"key_mismatch":true,"disconnected_time":{"enabled":false,"value":0},"after_registration_time":0}`
	tests := []struct {
		name     string
		settings enrolment.Force
		is       enrolment.Existing
		extra    string // of the message
		replaced bool
		logged   string
	}{
		{"young", enrolment.DefaultForce(), enrolment.Existing{Status: agent.NeverConnected, AddedAt: ago(time.Minute)}, "", false, "after_registration_time"},
		{"never connected", enrolment.DefaultForce(), enrolment.Existing{Status: agent.NeverConnected, AddedAt: ago(old)}, "", true, ""},
		{"active", enrolment.DefaultForce(), enrolment.Existing{Status: agent.Active, AddedAt: ago(old)}, "", false, "disconnected_time"},
		{"just disconnected", enrolment.DefaultForce(), enrolment.Existing{Status: agent.Disconnected, DisconnectedAt: ago(time.Minute), AddedAt: ago(old)}, "", false, "disconnected_time"},
		{"long disconnected", enrolment.DefaultForce(), gone, "", true, ""},
		{"disabled", enrolment.Force{}, gone, "", false, "force/enabled"},
		{"a message is more lenient", enrolment.Force{}, enrolment.Existing{Status: agent.Active, AddedAt: ago(0)}, lenient, true, ""},
		{"a message is stricter", enrolment.DefaultForce(), gone, strict, false, "force/enabled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, force(tt.settings))
			w.enrols(t, line("web-01"))
			w.db.is(1, tt.is)
			answer := w.says(t, `{"function":"add","arguments":{"name":"web-01","ip":"any"`+tt.extra+`}}`)
			if replaced := strings.Contains(answer, `"error":0`); replaced != tt.replaced {
				t.Fatal(answer)
			}
			if !strings.Contains(w.log.String(), tt.logged) {
				t.Error(w.log)
			}
			_, there := w.db.row(1)
			if live := w.liveKeys(t); len(live) != 1 || there == tt.replaced || w.db.len() != 1 {
				t.Error(live, w.db.rows)
			}
		})
	}
}

func TestForce_ByWhatIsKnown(t *testing.T) {
	t.Run("the newcomer has the key", func(t *testing.T) {
		w := newWorld(t)
		e := w.enrols(t, line("web-01"))
		w.db.is(1, enrolment.Existing{Status: agent.Disconnected, DisconnectedAt: ago(2 * time.Hour), AddedAt: ago(2 * time.Hour)})
		hash := enrolment.KeyHash(e.ID, e.Name, e.Secret)
		if got := w.refused(t, line("web-01", "K:'"+hash+"'")); got != "Duplicate agent name: web-01" {
			t.Error(got)
		}
		w.enrols(t, line("web-01", "K:'"+strings.Repeat("0", 40)+"'"))
	})
	t.Run("no row", func(t *testing.T) {
		w := newWorld(t)
		w.enrols(t, line("web-01"))
		if err := w.db.Delete(t.Context(), 1, ""); err != nil {
			t.Fatal(err)
		}
		w.refused(t, line("web-01"))
	})
	t.Run("the database is away", func(t *testing.T) {
		w := newWorld(t)
		w.enrols(t, line("web-01"))
		w.db.set(errAway)
		w.refused(t, line("web-01"))
	})
	t.Run("two agents make room for one", func(t *testing.T) {
		w := newWorld(t, force(replaceAll()))
		w.enrols(t, line("web-01"))
		w.enrols(t, line("web-02", "IP:'10.0.0.7'"))
		w.enrols(t, line("web-01", "IP:'10.0.0.7'"))
		if live := w.liveKeys(t); len(live) != 1 || w.db.len() != 1 || len(w.db.deleted) != 2 {
			t.Error(live, w.db.rows, w.db.deleted)
		}
	})
	t.Run("the id makes room", func(t *testing.T) {
		w := newWorld(t, force(replaceAll()))
		w.enrols(t, line("web-01"))
		if got := w.says(t, `{"function":"add","arguments":{"name":"web-02","ip":"any","id":"001"}}`); !strings.Contains(got, `"error":0`) {
			t.Error(got)
		}
		if row, there := w.db.row(1); !there || row.Name != "web-02" {
			t.Error(row, there)
		}
	})
}

// What the database is told of a new agent.
func TestRegister_Row(t *testing.T) {
	for sync, tweaks := range map[string][]tweak{"synced": nil, "syncreq": {inCluster}} {
		w := newWorld(t, tweaks...)
		e := w.enrols(t, line("web-01", "G:'web,default,web'", "IP:'10.0.0.0/8'"))
		row, _ := w.db.row(1)
		if row.Name != "web-01" || row.RegisterIP != "10.0.0.0" || !row.Key.Equal(e.Secret) || row.GroupSync != sync ||
			agent.GroupsText(row.Groups) != "web,default" || time.Since(time.Unix(row.Added, 0)) > time.Minute {
			t.Errorf("%+v", row)
		}
	}
}

// A worker without a master tries ten times, a second apart (docs/enrolment.md §10).
func TestWorker_Retries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		answers := []string{}
		w := NewWorker(WorkerConfig{Ask: func(context.Context, string, []byte) ([]byte, error) {
			asked++
			if len(answers) > 0 && asked > 3 {
				return []byte(answers[0]), nil
			}
			return nil, errors.New("Error 1013 - Unable to connect with socket: auth")
		}})
		r := request(t, line("web-01"))
		told := func(want string, attempts int, took time.Duration) {
			t.Helper()
			asked = 0
			start := time.Now()
			_, err := w.Register(t.Context(), r, "192.0.2.7")
			refusal, is := errors.AsType[*enrolment.Refusal](err)
			if !is || refusal.Text != want || asked != attempts || time.Since(start) != took {
				t.Errorf("%v after %d attempts and %v", err, asked, time.Since(start))
			}
		}
		told("Cannot comunicate with master", 10, 9*time.Second)
		for _, answer := range []string{"", "x", `{"data":{}}`, `{"error":0}`, `{"error":0,"data":{"id":"001"}}`} {
			answers = []string{answer}
			told("Invalid message format", 4, 3*time.Second)
		}
		answers = []string{`{"error":9008,"message":"Duplicate name"}`}
		told("Duplicate name", 4, 3*time.Second)
		answers = []string{`{"error":0,"data":{"id":"007","key":"0f1e"}}`}
		reg, err := w.Register(t.Context(), request(t, line("web-01", "IP:'10.0.0.7/32'")), "192.0.2.7")
		if err != nil || string(reg.Answer()) != "OSSEC K:'007 web-01 10.0.0.7/32 0f1e'" || reg.Entry.Address != "10.0.0.7" {
			t.Error(reg, err)
		}
	})
}
