package agentdb

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"testudo/internal/sqlitedb"
)

// The columns of a report but for the id: first those that rarely change.
const (
	colName = iota
	colIP
	colOSName
	colOSVersion
	colOSMajor
	colOSMinor
	colOSCodename
	colOSBuild
	colOSPlatform
	colOSUname
	colOSArch
	colVersion
	colConfigSum
	colMergedSum
	colManagerHost
	colNodeName
	colGroupConfigStatus
	slowColumns // those before
)

const (
	colLastKeepalive = iota + slowColumns
	colConnectionStatus
	colDisconnectionTime
	colStatusCode
	allColumns
)

// columnOf is the place of a member of a report, -1 for one that is no column.
func columnOf(name string) int {
	switch name {
	case "name":
		return colName
	case "ip":
		return colIP
	case "os_name":
		return colOSName
	case "os_version":
		return colOSVersion
	case "os_major":
		return colOSMajor
	case "os_minor":
		return colOSMinor
	case "os_codename":
		return colOSCodename
	case "os_build":
		return colOSBuild
	case "os_platform":
		return colOSPlatform
	case "os_uname":
		return colOSUname
	case "os_arch":
		return colOSArch
	case "version":
		return colVersion
	case "config_sum":
		return colConfigSum
	case "merged_sum":
		return colMergedSum
	case "manager_host":
		return colManagerHost
	case "node_name":
		return colNodeName
	case "last_keepalive":
		return colLastKeepalive
	case "connection_status":
		return colConnectionStatus
	case "disconnection_time":
		return colDisconnectionTime
	case "group_config_status":
		return colGroupConfigStatus
	case "status_code":
		return colStatusCode
	default:
		return -1
	}
}

// infoRow is one agent of a report.
type infoRow struct {
	id        value
	columns   [allColumns]value
	hasLabels bool // labels is an array
	labels    []label
}

// label is one label of a report, with the id that it names itself.
type label struct {
	id         int32
	key, value string
}

// reset empties the row for the next agent. Its labels' memory is kept.
func (r *infoRow) reset() {
	labels := r.labels
	clear(labels)
	*r = infoRow{labels: labels[:0]}
}

// infoRow reads one element of a report. Of a member given twice the first
// counts.
func (s *scanner) infoRow(r *infoRow) bool {
	r.reset()
	if s.peek() != '{' {
		return s.skip(maxDepth)
	}
	var seen [allColumns]bool
	seenID, seenLabels := false, false
	return s.object(maxDepth, func(name string) bool {
		if col := columnOf(name); col >= 0 && !seen[col] {
			seen[col] = true
			return s.value(&r.columns[col], maxDepth)
		}
		switch {
		case name == "id" && !seenID:
			seenID = true
			return s.value(&r.id, maxDepth)
		case name == "labels" && !seenLabels:
			seenLabels = true
			if r.hasLabels = s.peek() == '['; r.hasLabels {
				return s.array(maxDepth, func() bool { return s.label(r) })
			}
		}
		return s.skip(maxDepth)
	})
}

// label reads one label and keeps it if it is complete.
func (s *scanner) label(r *infoRow) bool {
	if s.peek() != '{' {
		return s.skip(maxDepth)
	}
	var parts [3]value
	var seen [3]bool
	ok := s.object(maxDepth, func(name string) bool {
		i := -1
		switch name {
		case "id":
			i = 0
		case "key":
			i = 1
		case "value":
			i = 2
		}
		if i < 0 || seen[i] {
			return s.skip(maxDepth)
		}
		seen[i] = true
		return s.value(&parts[i], maxDepth)
	})
	if ok && parts[0].kind == number && parts[1].kind == text && parts[2].kind == text {
		r.labels = append(r.labels, label{id: parts[0].number, key: parts[1].text, value: parts[2].text})
	}
	return ok
}

// bind sets a parameter to a value.
func bind(st *sqlitedb.Stmt, param int, v *value) {
	switch v.kind {
	case number:
		st.BindInt64(param, int64(v.number))
	case text:
		st.BindText(param, v.text)
	default:
		st.BindNull(param)
	}
}

// fingerprint is that of the row but for what changes often; never 0. It is the
// same on every node (docs/extensions.md).
func (r *infoRow) fingerprint() uint64 {
	var room [1024]byte
	b := room[:0]
	for i := range slowColumns {
		v := &r.columns[i]
		b = append(b, byte(v.kind))
		if v.kind == number {
			b = strconv.AppendInt(b, int64(v.number), 10)
		}
		b = append(append(b, v.text...), 0)
	}
	if r.hasLabels {
		b = append(b, 'L')
		for i := range r.labels {
			l := &r.labels[i]
			b = append(strconv.AppendInt(b, int64(l.id), 10), 0)
			b = append(append(b, l.key...), 0)
			b = append(append(b, l.value...), 0)
		}
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:]) | 1
}
