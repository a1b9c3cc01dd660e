package keyhistory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is a history in the making, and what the master has in the end.
type story struct {
	*History
	keys strings.Builder
}

func newStory() *story { return &story{History: &History{Master: "m", Grace: time.Second}} }

func keyOf(id int) string { return fmt.Sprintf("%064x", id) }

func line(id int, name string) string { return fmt.Sprintf("%03d %s any %s", id, name, keyOf(id)) }

func accepted(id int, name string) string { return "OSSEC K:'" + line(id, name) + "'" }

const duplicate = "ERROR: Duplicate agent name: NAMEERROR: Unable to add agent"

// enrol is a registration of the agent of that name at the master.
func (s *story) enrol(name, answer string) *Registration {
	return s.enrolAs(Registration{Agent: name, Node: "m", Name: name}, answer)
}

func (s *story) enrolAs(r Registration, answer string) *Registration {
	asked := s.Ask(r)
	s.Answer(asked, answer)
	return asked
}

func (s *story) remove(id string, o Outcome) { s.Removed(s.Remove(id, false), o) }

// has adds lines to the master's client.keys.
func (s *story) has(lines ...string) {
	for _, l := range lines {
		s.keys.WriteString(l + "\n")
	}
}

// verdict is a story and the findings about it.
type verdict struct {
	tell func(s *story)
	want []Kind
}

func judge(t *testing.T, stories map[string]verdict) {
	t.Helper()
	for name, v := range stories {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			v.tell(s)
			var got []Kind
			for _, f := range s.Check(Final{Node: "m", Keys: []byte(s.keys.String())}) {
				t.Log(f)
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, v.want) {
				t.Errorf("findings %q, want %q", got, v.want)
			}
		})
	}
}

func TestCheck_Keys(t *testing.T) {
	judge(t, map[string]verdict{
		"nothing happened": {func(*story) {}, nil},
		"one agent": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.has(line(1, "a1"))
		}, nil},
		"a key is lost": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
		}, []Kind{Lost}},
		"another key is there": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.has("001 a1 any " + keyOf(9))
		}, []Kind{IDTwice, Lost}},
		"an agent of before is lost": {func(s *story) {
			s.Initial = []Entry{{"001", "a1", "any", keyOf(1)}}
		}, []Kind{Lost}},
		"an id is given twice": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
			s.enrol("a2", accepted(1, "a2"))
			s.has(line(1, "a2"))
		}, []Kind{IDTwice, KeyTwice, IDBack, NotRemoved}},
		"an id goes back": {func(s *story) {
			s.enrol("a1", accepted(2, "a1"))
			s.enrol("a2", accepted(1, "a2"))
			s.has(line(2, "a1"), line(1, "a2"))
		}, []Kind{IDBack}},
		"ids of two that asked at once": {func(s *story) {
			r1, r2 := s.Ask(Registration{Name: "a1"}), s.Ask(Registration{Name: "a2"})
			s.Answer(r1, accepted(2, "a1"))
			s.Answer(r2, accepted(1, "a2"))
			s.has(line(2, "a1"), line(1, "a2"))
		}, nil},
		"another worker was killed": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.Disturb("w")()
			s.enrolAs(Registration{Agent: "x", Node: "m", Name: "a1"}, accepted(2, "a1"))
			s.has(line(2, "a1"))
		}, []Kind{Lost}},
		"a key of nobody": {func(s *story) { s.has(line(1, "a1")) }, []Kind{NotAsked}},
		"an answer to another": {func(s *story) {
			s.enrol("a1", accepted(1, "a2"))
			s.enrol("a2", duplicate)
			s.has(line(1, "a2"))
		}, []Kind{Wrong, NoReason, NotAsked}},
		"a name twice": {func(s *story) {
			s.enrolAs(Registration{Agent: "x", Name: "a1", Forced: true}, accepted(1, "a1"))
			s.enrolAs(Registration{Agent: "y", Name: "a1", Forced: true}, accepted(2, "a1"))
			s.has(line(1, "a1"), line(2, "a1"))
		}, []Kind{File}},
		"a torn line": {func(s *story) { s.has("001 a1 a") }, []Kind{File}},
		"a cut answer": {func(s *story) {
			s.enrol("a1", "OSSEC K:'001 a1 any 0123")
			s.has(line(1, "a1"))
		}, nil},
	})
}

func TestCheck_Removals(t *testing.T) {
	judge(t, map[string]verdict{
		"removed": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
		}, nil},
		"removed, nobody knows": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Unknown)
			s.has(line(1, "a1"))
		}, nil},
		"not removed": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
			s.has(line(1, "a1"))
		}, []Kind{NotRemoved}},
		"removed twice": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
			s.remove("001", Done)
		}, []Kind{RemovedTwice}},
		"a removed line is lost": {func(s *story) {
			s.KeepsRemoved = true
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
		}, []Kind{LineGone}},
		"a removed line stays": {func(s *story) {
			s.KeepsRemoved = true
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
			s.has(line(1, "!a1"))
		}, nil},
	})
}

func TestCheck_Refusals(t *testing.T) {
	judge(t, map[string]verdict{
		"refused for a name in use": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.enrolAs(Registration{Agent: "x", Name: "a1"}, duplicate)
			s.has(line(1, "a1"))
		}, nil},
		"refused for nothing": {func(s *story) {
			s.enrol("a1", duplicate)
		}, []Kind{NoReason}},
		"refused for one that was removed": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.remove("001", Done)
			s.enrolAs(Registration{Agent: "x", Name: "a1"}, duplicate)
		}, []Kind{NoReason}},
		"shut out by its own lost answer": {func(s *story) {
			s.enrol("a1", "")
			s.enrol("a1", duplicate)
			s.has(line(1, "a1"))
		}, []Kind{ShutOut}},
		"it went away itself": {func(s *story) {
			s.enrolAs(Registration{Agent: "a1", Name: "a1", Broken: true}, "")
			s.enrol("a1", duplicate)
			s.has(line(1, "a1"))
		}, nil},
		"the second attempt": {func(s *story) {
			s.enrol("a1", "ERROR: Cannot comunicate with masterERROR: Unable to add agent")
			s.enrol("a1", accepted(2, "a1"))
			s.has(line(2, "a1"))
		}, nil},
		"a key of a refused one": {func(s *story) {
			s.enrolAs(Registration{Name: "a1"}, "ERROR: Invalid group: webERROR: Unable to add agent")
			s.has(line(1, "a1"))
		}, []Kind{NotAsked}},
	})
}

func TestCheck_Replaced(t *testing.T) {
	judge(t, map[string]verdict{
		"replaced by force": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.enrolAs(Registration{Agent: "x", Name: "a1", Forced: true}, accepted(2, "a1"))
			s.has(line(2, "a1"))
		}, nil},
		"replaced without force": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.enrolAs(Registration{Agent: "x", Name: "a1"}, accepted(2, "a1"))
			s.has(line(2, "a1"))
		}, []Kind{Lost}},
		"replaced by one that came before": {func(s *story) {
			s.enrolAs(Registration{Agent: "x", Name: "a1", Forced: true}, accepted(1, "a1"))
			s.enrol("a1", accepted(2, "a1"))
			s.has(line(1, "a1"))
		}, []Kind{Lost}},
		"replaced while its answer was on the way": {func(s *story) {
			r := s.Ask(Registration{Agent: "a1", Node: "m", Name: "a1"})
			s.enrolAs(Registration{Agent: "x", Node: "m", Name: "a1"}, accepted(2, "a1"))
			s.Answer(r, accepted(1, "a1"))
			s.has(line(2, "a1"))
		}, nil},
		"replaced before the worker had confirmed": {func(s *story) {
			s.enrolAs(Registration{Agent: "a1", Node: "w", Name: "a1"}, accepted(1, "a1"))
			s.enrolAs(Registration{Agent: "x", Node: "m", Name: "a1"}, accepted(2, "a1"))
			s.has(line(2, "a1"))
		}, nil},
		"replaced after the master was killed": {func(s *story) {
			s.enrol("a1", accepted(1, "a1"))
			s.Disturb("m")()
			s.enrolAs(Registration{Agent: "x", Node: "m", Name: "a1"}, accepted(2, "a1"))
			s.has(line(2, "a1"))
		}, nil},
		"replaced for its address": {func(s *story) {
			s.enrolAs(Registration{Name: "a1", Address: "10.0.0.1"}, "OSSEC K:'001 a1 10.0.0.1 "+keyOf(1)+"'")
			s.enrolAs(Registration{Name: "a2", Address: "10.0.0.1", Forced: true}, "OSSEC K:'002 a2 10.0.0.1 "+keyOf(2)+"'")
			s.has("002 a2 10.0.0.1 " + keyOf(2))
		}, nil},
	})
}

func TestCheck_Nodes(t *testing.T) {
	two := line(1, "a1") + "\n" + line(2, "a2") + "\n"
	rows := []Entry{{"1", "a1", "any", keyOf(1)}, {"2", "a2", "any", keyOf(2)}}
	for name, test := range map[string]struct {
		worker string
		rows   []Entry
		want   []Kind
	}{
		"alike":         {two, rows, nil},
		"no database":   {two, nil, nil},
		"a key less":    {line(1, "a1") + "\n", rows, []Kind{Differ}},
		"another order": {line(2, "a2") + "\n" + line(1, "a1") + "\n", rows, []Kind{Differ}},
		"a row less":    {two, rows[:1], []Kind{Row}},
		"a row more":    {two, append(slices.Clone(rows), Entry{"3", "a3", "any", keyOf(3)}), []Kind{Row}},
		"another name":  {two, []Entry{rows[0], {"2", "a9", "any", keyOf(2)}}, []Kind{Row}},
		"another key":   {two, []Entry{rows[0], {"2", "a2", "any", keyOf(3)}}, []Kind{Row}},
	} {
		t.Run(name, func(t *testing.T) {
			h := History{Initial: []Entry{{"001", "a1", "any", keyOf(1)}, {"002", "a2", "any", keyOf(2)}}}
			var got []Kind
			for _, f := range h.Check(Final{Node: "m", Keys: []byte(two)}, Final{Node: "w", Keys: []byte(test.worker), Rows: test.rows}) {
				t.Log(f)
				if strings.Contains(f.Text, keyOf(1)) || strings.Contains(f.Text, keyOf(2)) {
					t.Error("shows a key")
				}
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("findings %q, want %q", got, test.want)
			}
		})
	}
}
