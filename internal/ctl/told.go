package ctl

import (
	"fmt"
	"strings"
	"time"

	"testudo/internal/screen"
	"testudo/internal/why"
)

// WhyText writes reports for people, each with its findings, as of now.
func WhyText(reports []why.Report, now time.Time) string {
	var b strings.Builder
	for i, r := range reports {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s (%s says)\n", clean(r.Summary), clean(r.ToldBy))
		for _, f := range r.Findings {
			writeFinding(&b, f, now)
		}
		if len(r.Known) > 0 {
			fmt.Fprintf(&b, "Known nodes: %s\n", clean(strings.Join(r.Known, ", ")))
		}
	}
	return b.String()
}

func writeFinding(b *strings.Builder, f why.Finding, now time.Time) {
	mark := map[why.Severity]string{why.Critical: "!!", why.Warning: " !"}[f.Severity]
	fmt.Fprintf(b, "%2s %s\n", mark, clean(f.Text))
	if f.Since != nil {
		fmt.Fprintf(b, "     since:     %s\n", moment(now, *f.Since))
	}
	if f.Code != 0 {
		fmt.Fprintf(b, "     error:     %d, %s\n", f.Code, f.Code.Text())
	}
	if f.Waits != "" {
		fmt.Fprintf(b, "     waits for: %s\n", clean(f.Waits))
	}
	if f.Remedy != "" {
		fmt.Fprintf(b, "     to do:     %s\n", clean(f.Remedy))
	}
}

// StatesTable lays reports out, one line each: the state and what is worst.
func StatesTable(reports []why.Report, now time.Time, width int) string {
	rows := make([][]string, 0, len(reports))
	for _, r := range reports {
		since, worst := "-", ""
		if r.Since != nil {
			since = Ago(now, *r.Since)
		}
		if len(r.Findings) > 0 && r.Findings[0].Severity != why.Note {
			worst = r.Findings[0].Text
		}
		rows = append(rows, []string{r.Node, string(r.State), since, r.ToldBy, worst})
	}
	return screen.Table([]screen.Column{{Title: "node"}, {Title: "state"}, {Title: "for", Right: true}, {Title: "told by"}, {Title: "what is wrong"}}, rows, width)
}
