package nodeinfo

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"testudo/internal/fault"
)

// notYet stands for a date of what has not happened.
const notYet = "n/a"

// HealthFilter says whose health is wanted.
type HealthFilter struct {
	everybody bool // the master too
	workers   bool
	wanted    func(name string) bool
}

// Everybody wants all workers and the master.
func Everybody() HealthFilter { return HealthFilter{everybody: true} }

// Named wants the nodes of these names; those that nobody has are left out.
func Named(names []string) HealthFilter { return HealthFilter{wanted: contains(names)} }

// ParseHealthFilter reads the argument of get_health (docs/nodeinfo.md §2). The
// error is a *fault.Error.
func ParseHealthFilter(argument []byte) (HealthFilter, error) {
	if len(argument) > maxArgument {
		return HealthFilter{}, bad("get_health: the argument has more than %d bytes", maxArgument)
	}
	var names any
	if err := json.Unmarshal(argument, &names); err != nil {
		return HealthFilter{}, bad("get_health: the argument is not JSON")
	}
	switch names := names.(type) {
	case nil:
		return Everybody(), nil
	case string:
		return HealthFilter{wanted: func(name string) bool { return strings.Contains(names, name) }}, nil
	case []any:
		var texts []string
		for _, n := range names {
			if text, ok := n.(string); ok {
				texts = append(texts, text)
			}
		}
		return Named(texts), nil
	case map[string]any:
		if len(names) == 0 {
			return HealthFilter{workers: true}, nil
		}
		return HealthFilter{wanted: func(name string) bool { _, ok := names[name]; return ok }}, nil
	}
	return HealthFilter{}, bad("get_health: names are wanted as a list")
}

func (f *HealthFilter) has(name string) bool { return f.everybody || f.wanted != nil && f.wanted(name) }

func (f *HealthFilter) worker(name string) bool { return f.workers || f.has(name) }

// AppendJSON writes the answer of get_health.
func (h Health) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"n_connected_nodes": `...)
	dst = append(appendInt(dst, h.Workers), `, "nodes": {`...)
	for i := range h.Nodes {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = h.Nodes[i].appendJSON(dst)
	}
	return append(dst, "}}"...)
}

func (n *NodeHealth) appendJSON(dst []byte) []byte {
	dst = appendText(dst, n.Name)
	dst = append(dst, `: {"info": {"name": `...)
	dst = appendText(dst, n.Name)
	dst = append(dst, `, "type": `...)
	dst = appendText(dst, n.Type)
	dst = append(dst, `, "version": `...)
	dst = appendText(dst, n.Version)
	dst = append(dst, `, "ip": `...)
	dst = appendText(dst, n.Address)
	dst = append(dst, `, "n_active_agents": `...)
	dst = append(appendInt(dst, n.ActiveAgents), '}')
	if n.Status != nil {
		dst = n.Status.appendJSON(append(dst, `, "status": `...))
	}
	return append(dst, '}')
}

func (s *Status) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"sync_integrity_free": `...)
	dst = strconv.AppendBool(dst, s.IntegrityFree)
	dst = append(dst, `, "last_check_integrity": {`...)
	dst = s.Check.append(dst, "_master")
	dst = append(dst, `}, "last_sync_integrity": {`...)
	dst = s.Sync.append(dst, "_master")
	dst = append(dst, `, "total_extra_valid": 0, "total_files": `...)
	dst = s.Files.append(dst)
	dst = append(dst, `}, "sync_agent_info_free": `...)
	dst = strconv.AppendBool(dst, s.AgentInfoFree)
	dst = s.AgentInfo.append(dst, "agentinfo", "_master")
	dst = s.Groups.append(dst, "agentgroup", "")
	dst = s.FullGroups.append(dst, "full_agentgroup", "")
	dst = append(dst, `, "last_keep_alive": `...)
	return append(appendDate(dst, s.LastKeepAlive), '}')
}

func (s Span) append(dst []byte, end string) []byte {
	dst = append(append(append(dst, `"date_start`...), end...), `": `...)
	dst = appendDate(dst, s.Started)
	dst = append(append(append(dst, `, "date_end`...), end...), `": `...)
	return appendDate(dst, s.Ended)
}

func (t Transfer) append(dst []byte, name, end string) []byte {
	dst = append(append(append(dst, `, "last_sync_`...), name...), `": {`...)
	dst = t.Span.append(dst, end)
	dst = append(dst, `, "n_synced_chunks": `...)
	return append(appendInt(dst, t.Chunks), '}')
}

// append writes the counts; before there were any the original has one more.
func (f Files) append(dst []byte) []byte {
	if !f.Any {
		return append(dst, `{"missing": 0, "shared": 0, "extra": 0, "extra_valid": 0}`...)
	}
	dst = appendInt(append(dst, `{"missing": `...), f.Missing)
	dst = appendInt(append(dst, `, "extra": `...), f.Extra)
	dst = appendInt(append(dst, `, "shared": `...), f.Shared)
	return append(dst, '}')
}

// appendDate writes a date in UTC, always with six decimals:
// "2006-01-02T15:04:05.000000Z". By hand it takes a third of the time.
func appendDate(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, `"`+notYet+`"`...)
	}
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits(append(dst, '"'), year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1000, 6)
	return append(dst, `Z"`...)
}

// appendDigits writes the last digits of a number that is not negative.
func appendDigits(dst []byte, n, digits int) []byte {
	var text [6]byte
	for i := digits - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, text[:digits]...)
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

func appendText(dst []byte, s string) []byte { return fault.AppendText(dst, s) }
