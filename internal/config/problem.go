package config

import (
	"fmt"
	"slices"
	"strings"

	"testudo/internal/fault"
)

// Severity says what a problem means for the start of a node.
type Severity int

// The severities.
const (
	SeverityError   Severity = iota // the node must not start
	SeverityWarning                 // it starts, but somebody should look
	SeverityInfo                    // worth a line in the log
)

// String gives the lower-case name.
func (s Severity) String() string {
	switch s {
	case SeverityError:
		return "error"
	case SeverityWarning:
		return "warning"
	}
	return "info"
}

// Problem is one thing that is wrong, or odd, in the configuration.
type Problem struct {
	Severity Severity
	File     string
	Line     int        // from 1; 0 when the whole file is meant
	Path     string     // of the setting, as in Explain: "cluster.port"; may be empty
	Code     fault.Code // 3004, 3005, 3006, or 0
	Text     string     // what to log; begins with "Error CODE - " when Code is not 0
}

// String gives FILE:LINE: SEVERITY: PATH: TEXT, the way compilers do. A text of
// error 3005 has the path in it already.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	fmt.Fprintf(&b, ": %s: ", p.Severity)
	if p.Path != "" && p.Code != fault.ClusterJSON {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// HasErrors says whether a node with these problems must not start.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == SeverityError })
}

// report collects the problems of one file.
type report struct {
	file     string
	code     fault.Code // of its errors; 0 = none
	problems []Problem
}

func (r *report) add(severity Severity, code fault.Code, line int, path, text string) {
	if code != 0 {
		text = fault.New(code, text).Error()
	}
	r.problems = append(r.problems, Problem{severity, r.file, line, path, code, text})
}

// errorf reports an error that stands at a line, with the file's own code.
func (r *report) errorf(line int, path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if r.code != 0 && path != "" {
		text = path + ": " + text
	}
	r.add(SeverityError, r.code, line, path, text)
}

func (r *report) warnf(line int, path, format string, args ...any) {
	r.add(SeverityWarning, 0, line, path, fmt.Sprintf(format, args...))
}
