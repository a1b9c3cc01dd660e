package wdb

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// shownAgent is what these tests read of an answer.
type shownAgent struct {
	ID, Name, IP, Status string
	Groups               []string
	LastKeepalive        int64 `json:"last_keepalive"`
	Cut                  bool
}

// An agent that is too long for an answer does not keep those behind it from
// being listed.
func TestListAgents_OneTooLongForAnAnswer(t *testing.T) {
	w := newWorld(t, Options{})
	long := strings.Repeat("<", 15<<10)
	accents := strings.Repeat("\u00e9", 7_001)
	groups := strings.TrimSuffix(strings.Repeat("g,", 10<<10), ",")
	for id, a := range map[int]string{
		1: `"name":"web-01"`,
		2: `"name":"` + long + `","ip":"x` + accents + `","group":"` + groups + `"`,
		3: `"name":"db-01"`,
		4: `"name":"` + strings.Repeat("n", 60<<10) + `"`,
		5: `"name":"db-02"`,
	} {
		w.want(fmt.Sprintf(`global insert-agent {"id":%d,%s,"date_add":1700000000}`, id, a), "ok")
	}
	var ids []string
	for last, pages := "0", 0; ; pages++ {
		word, payload, _ := strings.Cut(w.ask(`global list-agents {"after":`+afterArg(last)+`}`), " ")
		var page struct {
			Total  int          `json:"total"`
			Agents []shownAgent `json:"agents"`
		}
		if err := json.Unmarshal([]byte(payload), &page); err != nil || page.Total != 5 || len(page.Agents) == 0 || pages > 5 {
			t.Fatalf("page %d: %q, %d agents of %d, %v", pages, word, len(page.Agents), page.Total, err)
		}
		for _, a := range page.Agents {
			ids = append(ids, a.ID)
			if cut := a.ID == "002"; a.Cut != cut || cut && (a.Name != long[:cutText] || len(a.Groups) != cutGroups/len(`"g",`) || strings.ContainsRune(a.IP, '\ufffd')) {
				t.Errorf("agent %s: cut %v, %d bytes of name, %d groups", a.ID, a.Cut, len(a.Name), len(a.Groups))
			}
			last = a.ID
		}
		if word == "ok" {
			break
		}
	}
	if got := strings.Join(ids, " "); got != "001 002 003 004 005" {
		t.Errorf("listed: %s", got)
	}
}
