package keyhistory

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is a node that keeps all promises, one request at a time.
type model struct {
	live, gone []Entry
	last       int
	keeps      bool
}

func (m *model) drop(at int, purge bool) {
	if e := m.live[at]; m.keeps && !purge {
		m.gone = append(m.gone, e)
	}
	m.live = slices.Delete(m.live, at, at+1)
}

// register is what the node does with a request, and its answer.
func (m *model) register(r *Registration, held map[string]bool) string {
	rival := func(e Entry) bool { return e.Name == r.Name || r.Address != anyAddress && e.Address == r.Address }
	stays := func(e Entry) bool { return rival(e) && !r.Forced && !held[e.ID] }
	if slices.ContainsFunc(m.live, stays) {
		return duplicate
	}
	for i := slices.IndexFunc(m.live, rival); i >= 0; i = slices.IndexFunc(m.live, rival) {
		m.drop(i, false)
	}
	m.last++
	e := Entry{fmt.Sprintf("%03d", m.last), r.Name, r.Address, keyOf(m.last)}
	m.live = append(m.live, e)
	return "OSSEC K:'" + strings.Join([]string{e.ID, e.Name, e.Address, e.Key}, " ") + "'"
}

func (m *model) remove(r *Removal) Outcome {
	at := slices.IndexFunc(m.live, func(e Entry) bool { return e.ID == r.ID })
	if at < 0 {
		return Refused
	}
	m.drop(at, r.Purge)
	return Done
}

func (m *model) file() []byte {
	var b strings.Builder
	for _, e := range m.live {
		fmt.Fprintf(&b, "%s %s %s %s\n", e.ID, e.Name, e.Address, e.Key)
	}
	for _, e := range m.gone {
		fmt.Fprintf(&b, "%s !%s %s %s\n", e.ID, e.Name, e.Address, e.Key)
	}
	return []byte(b.String())
}

// request is one that is under way. It is carried out at some instant between its
// beginning and its end, or never.
type request struct {
	*Registration
	removal *Removal
	answer  string
	outcome Outcome
	done    bool
}

// tale makes up a history of requests that overlap, at the model.
func tale(t *rapid.T, h *History, m *model) {
	var open []*request
	held := map[string]bool{}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
		case what <= 1:
			open = append(open, &request{Registration: h.Ask(someone(t))})
		case what == 2 && m.last > 0:
			id := fmt.Sprintf("%03d", rapid.IntRange(1, m.last).Draw(t, "id"))
			open = append(open, &request{removal: h.Remove(id, rapid.Bool().Draw(t, "purge"))})
		case what == 3 && len(open) > 0:
			rapid.SampledFrom(open).Draw(t, "carried out").carryOut(m, held)
		case len(open) > 0:
			at := rapid.IntRange(0, len(open)-1).Draw(t, "ends")
			open[at].end(t, h, m, held)
			open = slices.Delete(open, at, at+1)
		}
	}
	for _, r := range open {
		r.end(t, h, m, held)
	}
}

func someone(t *rapid.T) Registration {
	agent := fmt.Sprintf("a%d", rapid.IntRange(1, 4).Draw(t, "agent"))
	address := anyAddress
	if rapid.IntRange(0, 3).Draw(t, "with address") == 0 {
		address = fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 3).Draw(t, "address"))
	}
	return Registration{Agent: agent, Name: agent, Node: "m", Address: address, Forced: rapid.Bool().Draw(t, "forced")}
}

func (r *request) carryOut(m *model, held map[string]bool) {
	switch {
	case r.done:
	case r.removal != nil:
		r.outcome = m.remove(r.removal)
	default:
		r.answer = m.register(r.Registration, held)
		if e := m.live; strings.HasPrefix(r.answer, acceptPrefix) {
			held[e[len(e)-1].ID] = true
		}
	}
	r.done = true
}

// end ends a request with its answer, or with none, carried out or not.
func (r *request) end(t *rapid.T, h *History, m *model, held map[string]bool) {
	lost := rapid.IntRange(0, 4).Draw(t, "lost") == 0
	if !lost || rapid.Bool().Draw(t, "but carried out") {
		r.carryOut(m, held)
	}
	switch {
	case r.removal != nil && lost:
		h.Removed(r.removal, Unknown)
	case r.removal != nil:
		h.Removed(r.removal, r.outcome)
	case lost:
		h.Answer(r.Registration, "")
	default:
		h.Answer(r.Registration, r.answer)
		delete(held, r.Entry.ID)
	}
}

// Whatever happens at a node that keeps its promises, there is nothing to find.
func TestCheck_GoodNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{keeps: rapid.Bool().Draw(t, "keeps removed")}
		h := &History{Master: "m", KeepsRemoved: m.keeps}
		tale(t, h, m)
		if found := h.Check(Final{Node: "m", Keys: m.file(), Rows: append([]Entry{}, m.live...)}); len(found) > 0 {
			t.Fatalf("found %v\n%s", found, m.file())
		}
	})
}

// A node that breaks one in the end is found out.
func TestCheck_BadNode(t *testing.T) {
	for name, spoil := range map[string]func(m *model, at int){
		"loses a key":         func(m *model, at int) { m.live = slices.Delete(m.live, at, at+1) },
		"changes a key":       func(m *model, at int) { m.live[at].Key = keyOf(1 << 20) },
		"changes a name":      func(m *model, at int) { m.live[at].Name = "other" },
		"gives an id again":   func(m *model, at int) { m.live = append(m.live, Entry{m.live[at].ID, "new", "any", keyOf(1 << 20)}) },
		"adds without reason": func(m *model, _ int) { m.live = append(m.live, Entry{"999", "new", "any", keyOf(1 << 20)}) },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &model{}
				h := &History{Master: "m"}
				tale(t, h, m)
				sure := h.Ask(Registration{Agent: "sure", Name: "sure", Node: "m"})
				h.Answer(sure, m.register(sure, nil))
				spoil(m, len(m.live)-1)
				if found := h.Check(Final{Node: "m", Keys: m.file()}); len(found) == 0 {
					t.Fatalf("nothing is found\n%s", m.file())
				}
			})
		})
	}
}
