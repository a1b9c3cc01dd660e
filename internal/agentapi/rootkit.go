package agentapi

import (
	"iter"
	"regexp"
	"strings"
)

// The files by which agents look for rootkits and audit a system
// (docs/functions.md §4).

// contentLines yields the lines that are neither empty nor comments.
func contentLines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

// threeParts yields the lines "FIRST ! SECOND <separator> THIRD" in their parts.
// Others are passed over.
func threeParts(text, separator string) iter.Seq[[3]string] {
	return func(yield func([3]string) bool) {
		for line := range contentLines(text) {
			first, rest, ok := strings.Cut(line, "!")
			second, third, also := strings.Cut(rest, separator)
			parts := [3]string{strings.TrimSpace(first), strings.TrimSpace(second), strings.TrimSpace(third)}
			if ok && also && !yield(parts) {
				return
			}
		}
	}
}

type rootkitFile struct {
	File string `json:"filename"`
	Name string `json:"name"`
	Link string `json:"link"`
}

// rootkitFiles reads lines "FILE ! NAME ::LINK".
func rootkitFiles(text string) []rootkitFile {
	list := []rootkitFile{}
	for p := range threeParts(text, "::") {
		list = append(list, rootkitFile{p[0], p[1], p[2]})
	}
	return list
}

type rootkitTrojan struct {
	File        string `json:"filename"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// rootkitTrojans reads lines "FILE !SIGNS! DESCRIPTION".
func rootkitTrojans(text string) []rootkitTrojan {
	list := []rootkitTrojan{}
	for p := range threeParts(text, "!") {
		list = append(list, rootkitTrojan{p[0], p[1], p[2]})
	}
	return list
}

// audit is a file of checks. The first control is empty: it would hold checks
// before the first title.
type audit struct {
	Vars     map[string]string `json:"vars"`
	Controls []auditControl    `json:"controls"`
}

type auditControl struct {
	Name      string   `json:"name,omitempty"`
	CIS       []string `json:"cis,omitempty"`
	PCI       []string `json:"pci,omitempty"`
	Condition string   `json:"condition,omitempty"`
	Reference string   `json:"reference,omitempty"`
	Checks    []string `json:"checks,omitempty"`
}

var (
	auditTitle = regexp.MustCompile(`^\[(.+?)\]\s*(?:\[([^\]]*)\])?\s*(?:\[([^\]]*)\])?$`)
	auditMark  = regexp.MustCompile(`\{\s*(\w+):\s*([^}]*)\}`)
)

// auditFile reads variables "$NAME=VALUE;", titles "[NAME] [CONDITION]
// [REFERENCE]" and the checks below each title.
func auditFile(text string) audit {
	a := audit{Vars: map[string]string{}, Controls: []auditControl{{}}}
	for line := range contentLines(text) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(line, "$") {
			a.Vars[strings.TrimPrefix(name, "$")] = strings.TrimSuffix(value, ";")
			continue
		}
		if title := auditTitle.FindStringSubmatch(line); title != nil {
			a.Controls = append(a.Controls, newControl(title[1], title[2], title[3]))
			continue
		}
		last := &a.Controls[len(a.Controls)-1]
		last.Checks = append(last.Checks, line)
	}
	return a
}

// newControl takes marks such as {CIS: 1.1} out of a title.
func newControl(name, condition, reference string) auditControl {
	c := auditControl{Condition: condition, Reference: reference}
	for _, mark := range auditMark.FindAllStringSubmatch(name, -1) {
		switch {
		case strings.HasPrefix(mark[1], "CIS"):
			c.CIS = append(c.CIS, strings.TrimSpace(mark[2]))
		case strings.HasPrefix(mark[1], "PCI"):
			c.PCI = append(c.PCI, strings.TrimSpace(mark[2]))
		}
	}
	c.Name = strings.TrimSpace(auditMark.ReplaceAllString(name, ""))
	return c
}
