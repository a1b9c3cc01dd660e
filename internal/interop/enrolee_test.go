package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
	"testudo/internal/keyhistory"
)

// wish is what an agent asks for.
type wish struct {
	name, address string
	groups        []string
	has           keyhistory.Entry // a key that it has already
}

// told is what it was told.
type told struct {
	entry keyhistory.Entry
	texts []string // errors
}

// enrolee is a program that enrols agents.
type enrolee struct {
	maker maker
	ask   func(n *node, w wish) told
}

func enrolees() []enrolee {
	return []enrolee{{ours, (*node).enrolOurs}, {theirs, (*node).enrolTheirs}}
}

// enrolOurs is our client.
func (n *node) enrolOurs(w wish) told {
	request := enrolment.Request{Name: w.name, Version: "v4.7.5", Groups: w.groups, Address: w.address}
	if w.has.ID != "" {
		request.KeyHash = enrolment.KeyHash(w.has.ID, w.has.Name, agent.NewSecret(w.has.Key))
	}
	key, err := enrolport.Enrol(n.cluster.t.Context(), enrolport.ClientConfig{Address: n.enrolAddress(), Request: request})
	if refused, ok := errors.AsType[*enrolport.RefusedError](err); ok {
		return told{texts: refused.Texts}
	}
	if err != nil {
		return told{texts: []string{err.Error()}}
	}
	return told{entry: keyhistory.Entry{ID: key.Text, Name: key.Name, Address: key.Address, Key: key.Secret.Reveal()}}
}

// enrolTheirs is the original's client, with a home for each agent.
func (n *node) enrolTheirs(w wish) told {
	t := n.cluster.t
	home := filepath.Join(n.cluster.dir, "a", w.name)
	args := []string{home, "-m", "127.0.0.1", "-p", fmt.Sprint(n.enrolPort), "-A", w.name}
	if len(w.groups) > 0 {
		args = append(args, "-G", strings.Join(w.groups, ","))
	}
	if w.address != "" {
		args = append(args, "-I", w.address)
	}
	if w.has.ID == "" {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	}
	output, err := exec.CommandContext(t.Context(), filepath.Join(n.cluster.reference, "agent-auth"), args...).CombinedOutput()
	if err != nil {
		var texts []string
		for line := range strings.Lines(string(output)) {
			if text, ok := strings.CutSuffix(strings.TrimSpace(line), " (from manager)"); ok {
				_, text, _ = strings.Cut(text, "ERROR: ")
				texts = append(texts, text)
			}
		}
		if len(texts) == 0 {
			texts = []string{fmt.Sprintf("%v: %s", err, output)}
		}
		return told{texts: texts}
	}
	keys, err := os.ReadFile(filepath.Join(home, keysFile))
	part := strings.Fields(string(keys))
	if err != nil || len(part) != 4 {
		return told{texts: []string{fmt.Sprintf("its client.keys: %v, %d parts", err, len(part))}}
	}
	return told{entry: keyhistory.Entry{ID: part[0], Name: part[1], Address: part[2], Key: part[3]}}
}

// missingRows is why a real worker does not know the groups of new agents.
const missingRows = "none of the installation's other daemons makes rows from client.keys and etc/shared"

// signUp is the enrolment of agents at a cluster, and what they were told.
type signUp struct {
	*cluster
	h *keyhistory.History
	// atOnce says that many enrol at a time: the server of a real master then forgets
	// rows (docs/enrolment.md §15).
	atOnce bool
	late   atomic.Int64 // keys that a node of ours did not know at the first look
}

func newSignUp(c *cluster) *signUp {
	c.t.Helper()
	c.needEnrolment()
	c.master.write(shared+"web/agent.conf", "<agent_config>\n</agent_config>\n")
	c.explain(
		explanation{"our", `WARNING: \[[^\]]+\] \[Enrolment\] (Refused a request for a new agent\.|No key for )`, "it was asked for what must be refused"},
		explanation{"our", `WARNING: .*client\.keys.*changed while it was read`, "agents enrol all the time"},
		explanation{"our", `WARNING: .* \[Agent-groups recv full\] .*the checksums differ`, "agents come and go meanwhile"},
		explanation{"our worker", `WARNING: .* Groups of \d+ agents were not the master's: `, "a real master tells of the groups of new agents a little later"},
		explanation{"our worker", `WARNING: .* The master sends files each round, .*client\.keys`, "a real master hashes the keys, and sends what they have become since"},
		explanation{"", `\[Agent-groups (send|recv)( full)?\] .*(not "ok": Error 2003|Error 2003|has not stored all of it|does not store what it is sent)`, missingRows},
		explanation{theirs.node(), `wazuh-db: (WARNING|ERROR): (Unable to find the id of the group|There was an error assigning the groups|The groups were empty right after)`, missingRows},
	)
	s := &signUp{cluster: c, h: &keyhistory.History{Master: c.master.name, Grace: 2 * time.Second}}
	c.start()
	c.waitInStep()
	c.startEnrolment()
	if !c.master.followsFiles() {
		c.master.tell("global insert-agent-group default")
		c.master.tell("global insert-agent-group web")
	}
	return s
}

// ask has an agent ask a node, and remembers what it was told.
func (s *signUp) ask(e enrolee, n *node, w wish) told {
	s.t.Helper()
	stored := w.address
	if a, err := enrolment.ParseAddress(w.address); err == nil {
		stored = a.Bare
	}
	asked := s.h.Ask(keyhistory.Registration{Agent: w.name + string(e.maker), Node: n.name, Name: w.name, Address: stored})
	got := e.ask(n, w)
	switch {
	case got.entry.ID != "":
		s.h.AnswerAs(asked, keyhistory.Done, got.entry, "")
	case len(got.texts) > 0 && strings.Contains(got.texts[0], "comunicate"):
		s.h.AnswerAs(asked, keyhistory.Unknown, got.entry, got.texts[0])
	default:
		s.h.AnswerAs(asked, keyhistory.Refused, got.entry, slices.Concat(got.texts, []string{"nothing"})[0])
	}
	return got
}

// accepted is ask of an agent that must get a key.
func (s *signUp) accepted(e enrolee, n *node, w wish) keyhistory.Entry {
	s.t.Helper()
	got := s.ask(e, n, w)
	want := "any"
	if w.address != "" {
		want = w.address
	}
	if got.entry.ID == "" || got.entry.Name != w.name || got.entry.Address != want || len(got.entry.Key) != 64 {
		s.t.Errorf("%s agent %+v at %s (%s enrolment) is told %q, has %s %s %s", e.maker, w, n, n.enrolledBy(), got.texts,
			got.entry.ID, got.entry.Name, got.entry.Address)
	}
	if n.enrolledBy() == ours && !strings.Contains(n.read(keysFile), got.entry.Key) {
		s.unknown(n, got.entry)
	}
	return got.entry
}

// unknown says that a node of ours did not know a key when its agent had the
// answer. That is right for a moment only: the master's file of before came in.
func (s *signUp) unknown(n *node, e keyhistory.Entry) {
	began := time.Now()
	for !strings.Contains(n.read(keysFile), e.Key) {
		if time.Since(began) > 5*time.Second {
			s.t.Errorf("%s does not know the key of %s", n, e.Name)
			return
		}
		pause()
	}
	s.late.Add(1)
}

// refused is ask of one that must not, for a reason that reads differently on a
// worker.
func (s *signUp) refused(e enrolee, n *node, w wish, atMaster, atWorker string) {
	s.t.Helper()
	want := []string{atMaster, "Unable to add agent"}
	if n.role == worker {
		want[0] = atWorker
	}
	if got := s.ask(e, n, w); !slices.Equal(got.texts, want) {
		s.t.Errorf("%s agent %s at %s (%s enrolment) is told %q, want %q", e.maker, w.name, n, n.enrolledBy(), got.texts, want)
	}
}

// visit has agents of a maker enrol at a node in all ways.
func (s *signUp) visit(e enrolee, n *node, number int) {
	s.t.Helper()
	name := fmt.Sprintf("%s-%s", n.name, e.maker)
	plain := wish{name: name}
	plain.has = s.accepted(e, n, plain)
	s.accepted(e, n, wish{name: name + "-g", groups: []string{"default", "web"}, address: fmt.Sprintf("10.%d.0.0/16", number)})
	s.accepted(e, n, wish{name: name + "-a", address: fmt.Sprintf("10.0.0.%d", number)})
	duplicate := "Duplicate agent name: " + name
	s.refused(e, n, plain, duplicate, "Duplicate name") // which has this very key
	s.refused(e, n, wish{name: name}, duplicate, "Duplicate name")
	s.refused(e, n, wish{name: name + "-b", address: fmt.Sprintf("10.0.0.%d", number)},
		fmt.Sprintf("Duplicate IP: 10.0.0.%d", number), "Duplicate IP")
	s.refused(e, n, wish{name: name + "-u", groups: []string{"unheard-of"}},
		"Invalid group: unheard-of", "Invalid Group(s) Name(s)")
}

// refusedLines are request lines that no node takes, and what it says.
func refusedLines(t *testing.T) map[string][2]string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	both := func(text string) [2]string { return [2]string{text, text} }
	return map[string][2]string{
		"OSSEC A:'x'":                     both("Invalid agent name: x"),
		"OSSEC A:'a b'":                   both("Invalid agent name: a b"),
		"OSSEC A:'" + host + "'":          {"Invalid agent name: " + host, "Duplicate name"},
		"OSSEC PASS: secret OSSEC A:'nn'": both("Invalid request for new agent"),
		"GET / HTTP/1.1":                  both("Invalid request for new agent"),
		"OSSEC A:'nn' V:'v9.0.0'":         both("Agent version must be lower or equal to manager version"),
		"OSSEC A:'nn' V:'v4.7.5":          both("Unterminated version field"),
		"OSSEC A:'nn' G:'web":             both("Unterminated group field"),
		"OSSEC A:'nn' G:'a,,b'":           both("Invalid group name: a,,b... consecutive ',' are not allowed"),
		"OSSEC A:'nn' G:'a b'":            both("Invalid group name: a b... characters '\\/:*?\"<>|,' are prohibited"),
		"OSSEC A:'nn' G:'../x'":           both("Invalid group name: ../x... characters '\\/:*?\"<>|,' are prohibited"),
		"OSSEC A:'nn' IP:'300.1.1.1'":     both("Invalid IP: 300.1.1.1"),
		"OSSEC A:'nn' IP:'10.0.0.1":       both("Unterminated IP field"),
		"OSSEC A:'nn' K:'abc":             both("Unterminated key field"),
	}
}

// refusesAll puts them to a node.
func (s *signUp) refusesAll(n *node) {
	s.t.Helper()
	for line, texts := range refusedLines(s.t) {
		want := texts[0]
		if n.role == worker {
			want = texts[1]
		}
		got, err := keyhistory.Exchange(s.t.Context(), n.enrolAddress(), line+"\n")
		if want := "ERROR: " + want + "ERROR: Unable to add agent"; got != want || err != nil {
			s.t.Errorf("%s (%s enrolment) says to %q:\n%q, %v, want\n%q", n, n.enrolledBy(), line, got, err, want)
		}
	}
}

// administrate removes an agent by the master's socket and puts another into the
// place of one.
func (s *signUp) administrate(remove, replace keyhistory.Entry) {
	s.t.Helper()
	socket := filepath.Join(s.master.home, "queue/sockets/auth")
	ctx := s.t.Context()
	if r := s.h.RemoveAt(ctx, socket, remove.ID, true); r.Outcome != keyhistory.Done {
		s.t.Errorf("removal of %s: %v", remove.ID, r.Outcome)
	}
	if r := s.h.RemoveAt(ctx, socket, remove.ID, true); r.Outcome != keyhistory.Refused {
		s.t.Errorf("second removal of %s: %v", remove.ID, r.Outcome)
	}
	wait(s.t, patience, func() string { // an agent without row stays
		rows, err := s.master.rows("SELECT id FROM agent WHERE name = '" + replace.Name + "' ORDER BY 1")
		if err != nil || len(rows) != 1 {
			return fmt.Sprintf("%s has %d rows of %s, %v", s.master, len(rows), replace.Name, err)
		}
		return ""
	})
	if r := s.h.AddAt(ctx, socket, keyhistory.Registration{Agent: "x", Node: s.master.name, Name: replace.Name}); r.Outcome != keyhistory.Done {
		s.t.Errorf("another %s: %v %s", replace.Name, r.Outcome, r.Text)
	}
}

// verdict waits until all nodes agree and looks at what they have.
func (s *signUp) verdict() {
	s.t.Helper()
	wait(s.t, patience, func() string {
		var finals []keyhistory.Final
		for _, n := range s.nodes() {
			f := keyhistory.Final{Node: n.name, Keys: []byte(n.read(keysFile))}
			if n.followsFiles() || n.role == master && !s.atOnce {
				var err error
				if f.Rows, err = n.agentRows(); err != nil {
					return err.Error()
				}
			}
			finals = append(finals, f)
		}
		if found := s.h.Check(finals...); len(found) > 0 {
			return fmt.Sprintf("%v%s", found, s.master.tail())
		}
		return ""
	})
	c := s.h.Count()
	s.t.Logf("%d got keys, %d were refused, %d are in doubt; %d keys were known a moment later", c.Done, c.Refused, c.Unknown, s.late.Load())
	if c.Unknown > 0 {
		s.t.Error("answers are missing")
	}
}

func (n *node) agentRows() ([]keyhistory.Entry, error) {
	c, err := n.dialDatabase()
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	entries := []keyhistory.Entry{}
	if last, err := c.rows("SELECT max(id) AS id FROM agent"); err != nil || number(last[0]["id"]) == 0 {
		return entries, err
	}
	err = c.rowsOfAgents("SELECT id, name, register_ip, internal_key FROM agent WHERE id AGENTS ORDER BY id", func(id int, r row) {
		entries = append(entries, keyhistory.Entry{
			ID: fmt.Sprintf("%03d", id), Name: fmt.Sprint(r["name"]), Address: fmt.Sprint(r["register_ip"]), Key: fmt.Sprint(r["internal_key"]),
		})
	})
	return entries, err
}

// checkGroups looks at the groups of those that asked for some.
func (s *signUp) checkGroups(n *node) {
	s.t.Helper()
	wait(s.t, patience, func() string {
		rows, err := n.rows("SELECT name, `group` AS g FROM agent WHERE name LIKE '%-g' ORDER BY name")
		if err != nil {
			return err.Error()
		}
		for _, r := range rows {
			if r["g"] != "default,web" {
				return fmt.Sprintf("%s has %v in %v", n, r["name"], r["g"])
			}
		}
		if want := len(s.nodes()) * len(enrolees()); len(rows) != want {
			return fmt.Sprintf("%s has %d agents with groups, want %d", n, len(rows), want)
		}
		return ""
	})
}
