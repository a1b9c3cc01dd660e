package ctl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
	"testudo/internal/why"
)

func TestWhyText(t *testing.T) {
	t.Setenv("TZ", "UTC")
	since := at(-60)
	reports := []why.Report{
		{Node: "w1", ToldBy: "m", State: why.Gone, Since: &since, Summary: "w1 is not connected any more.", Findings: []why.Finding{
			{Severity: why.Critical, Text: "It ended: \x1b[2J.", Since: &since, Code: fault.Decrypt, Waits: "the worker", Remedy: "Look."},
			{Severity: why.Note, Text: "It was there."},
		}},
		{Node: "x", ToldBy: "m", State: why.Unknown, Summary: "No node.", Known: []string{"m", "w1"}},
	}
	want := `w1 is not connected any more. (m says)
!! It ended: ?[2J.
     since:     ` + since.Local().Format("2006-01-02 15:04:05") + ` (1m0s ago)
     error:     3025, Could not decrypt message
     waits for: the worker
     to do:     Look.
   It was there.

No node. (m says)
Known nodes: m, w1
`
	if diff := cmp.Diff(want, WhyText(reports, noon)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	table := strings.Split(StatesTable(reports, noon, 0), "\n")
	if got := strings.Join(strings.Fields(table[2]), " "); got != "w1 gone 1m0s m It ended: ?[2J." {
		t.Error(got)
	}
	if got := strings.Join(strings.Fields(table[3]), " "); got != "x unknown - m" {
		t.Error(got)
	}
}
