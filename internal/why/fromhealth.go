package why

import (
	"errors"
	"fmt"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/nodeinfo"
)

// lateKeepAlive is how long a worker with default settings may be silent before
// it is worth a word.
const lateKeepAlive = 90 * time.Second

// FromHealth makes reports out of what any master, also of 4.7.5, tells of its
// nodes: of one node, or of all when name is empty.
func FromHealth(name string, h nodeinfo.Health, now time.Time) []Report {
	master := ""
	for i := range h.Nodes {
		if h.Nodes[i].Status == nil {
			master = h.Nodes[i].Name
		}
	}
	var reports []Report
	known := make([]string, 0, len(h.Nodes))
	for i := range h.Nodes {
		n := &h.Nodes[i]
		known = append(known, n.Name)
		if name == "" || n.Name == name {
			reports = append(reports, fromHealth(n, master, now))
		}
	}
	if name != "" && len(reports) == 0 {
		r := Report{Node: logging.Quote(name), ToldBy: master, State: Gone, Known: known}
		r.Summary = fmt.Sprintf("%s is not connected.", logging.Quote(name))
		r.add(Finding{
			Severity: Critical, Text: "The master, which is no Testudo node, does not have it among its nodes, and does not remember those who left.",
			Remedy: "See the logs of the master and of the node for the last lines about each other.",
		})
		reports = append(reports, r.sorted())
	}
	return reports
}

func fromHealth(n *nodeinfo.NodeHealth, master string, now time.Time) Report {
	r := Report{Node: n.Name, ToldBy: master, State: Well}
	s := n.Status
	if s == nil {
		r.Summary = fmt.Sprintf("%s is the master and answers.", n.Name)
		return r.sorted()
	}
	r.add(Finding{Severity: Note, Text: fmt.Sprintf("It is connected from %s.", n.Address)})
	if now.Sub(s.LastKeepAlive) > lateKeepAlive {
		r.add(Finding{Severity: Warning, Since: when(s.LastKeepAlive), Text: "It has sent no keep-alive for longer than it should.", Remedy: "See how busy the node is, and the network between."})
	}
	switch {
	case s.Check.Ended.IsZero():
		r.add(Finding{Severity: Warning, Text: "Its files have not been compared since it connected.", Waits: "its next check"})
	case !s.IntegrityFree:
		r.add(Finding{Severity: Note, Text: "A check of its files is under way."})
	default:
		r.add(Finding{Severity: Note, Since: when(s.Check.Ended), Text: "Its files were compared."})
	}
	r.Summary = fmt.Sprintf("%s is connected.", n.Name)
	return r.sorted()
}

// numbered is the number of an error, if it has one.
func numbered(err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return nil
}
