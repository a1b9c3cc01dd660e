package managerapi

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// logLine is a line of a daemon's log.
type logLine struct {
	Time        string `json:"timestamp"` // "2024-01-02T03:04:05Z"
	Tag         string `json:"tag"`
	Level       string `json:"level"`
	Description string `json:"description"`
}

const logTime = "2006/01/02 15:04:05"

// plainLine is TIME TAG[...]: LEVEL: TEXT; what a debug line has behind the tag
// is left out.
var plainLine = regexp.MustCompile(`^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (\S+?)(?:\[\d+\] .*?)?: (DEBUG|INFO|WARNING|ERROR|CRITICAL):(.*)$`)

// parseLine reads a line of ossec.log.
func parseLine(text []byte) (logLine, bool) {
	parts := plainLine.FindSubmatch(text)
	if parts == nil {
		return logLine{}, false
	}
	return newLogLine(string(parts[1]), string(parts[2]), string(parts[3]), string(parts[4]))
}

// parseJSONLine reads a line of ossec.json.
func parseJSONLine(text []byte) (logLine, bool) {
	var l struct {
		Time        *string `json:"timestamp"`
		Tag         *string `json:"tag"`
		Level       *string `json:"level"`
		Description *string `json:"description"`
	}
	if err := json.Unmarshal(text, &l); err != nil || l.Time == nil || l.Tag == nil || l.Level == nil || l.Description == nil {
		return logLine{}, false
	}
	return newLogLine(*l.Time, *l.Tag, *l.Level, *l.Description)
}

func newLogLine(at, tag, level, description string) (logLine, bool) {
	moment, err := time.Parse(logTime, at)
	if err != nil {
		return logLine{}, false
	}
	if strings.Contains(tag, "rootcheck") {
		tag = "wazuh-rootcheck"
	}
	return logLine{
		moment.Format("2006-01-02T15:04:05Z"), strings.ToValidUTF8(tag, "\ufffd"),
		strings.ToLower(level), strings.ToValidUTF8(description, "\ufffd"),
	}, true
}

// json is the line as users see it.
func (l logLine) json() (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// tail collects lines from the end of a text that comes in pieces, the last one
// first. Of a line longer than lineCut the beginning is kept.
type tail struct {
	last []string // whole lines, the last one first
	open []byte   // the end of a line whose beginning has not come yet
	any  bool     // a piece has come
}

func (t *tail) full() bool { return len(t.last) >= mostLines }

// take takes the piece that stands before all that came.
func (t *tail) take(piece []byte) {
	if !t.any {
		t.any = true
		piece = bytes.TrimSuffix(piece, []byte("\n"))
	}
	for !t.full() {
		at := bytes.LastIndexByte(piece, '\n')
		line := cut(piece[at+1:])
		if at < 0 {
			t.open = cut(slices.Concat(line, t.open))
			return
		}
		t.last = append(t.last, string(cut(slices.Concat(line, t.open))))
		t.open, piece = nil, piece[:at]
	}
}

// cut keeps the beginning of a line.
func cut(line []byte) []byte { return line[:min(len(line), lineCut)] }

// lines are the lines in their order.
func (t *tail) lines() [][]byte {
	if !t.full() && len(t.open) > 0 {
		t.last = append(t.last, string(t.open))
	}
	list := make([][]byte, 0, len(t.last))
	for _, line := range slices.Backward(t.last) {
		list = append(list, []byte(strings.TrimSuffix(line, "\r")))
	}
	return list
}
