package cli

import (
	"fmt"
	"strings"
	"unicode"

	"testudo/internal/doctor"
	"testudo/internal/home"
)

// doctorCmd examines a home.
type doctorCmd struct {
	homeFlag
	Problems bool `help:"Leave out what is fine."`
	JSON     bool `name:"json" help:"Write JSON."`
}

// Exit codes of doctor, by the worst finding; 0 when all is fine.
const (
	exitWarned = 1
	exitIll    = 2
)

// Run examines it and tells.
func (c *doctorCmd) Run(e *env) error {
	dir, _ := home.Locate(c.Home)
	report := doctor.Examine(e.ctx, dir)
	if err := e.ctx.Err(); err != nil {
		return err
	}
	if c.Problems {
		kept := []doctor.Finding{}
		for _, f := range report.Findings {
			if f.Severity != doctor.Fine {
				kept = append(kept, f)
			}
		}
		report.Findings = kept
	}
	var err error
	if c.JSON {
		err = writeJSON(e.out, report)
	} else {
		err = e.say(doctorText(report))
	}
	switch {
	case err != nil:
		return err
	case report.Worst == doctor.Error:
		return codeError(exitIll)
	case report.Worst == doctor.Warning:
		return codeError(exitWarned)
	}
	return nil
}

func doctorText(r doctor.Report) string {
	marks := map[doctor.Severity]string{doctor.Fine: "ok", doctor.Warning: " !", doctor.Error: "!!"}
	var b strings.Builder
	count := map[doctor.Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
		fmt.Fprintf(&b, "%s  %-13s  %s\n", marks[f.Severity], f.Check, printable(f.Text))
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%21s%s\n", "to do: ", printable(f.Remedy))
		}
	}
	if r.Worst == doctor.Fine {
		fmt.Fprintf(&b, "%s is fine.\n", r.Home)
		return b.String()
	}
	fmt.Fprintf(&b, "%s: %s, %s.\n", r.Home, plural(count[doctor.Error], "error"), plural(count[doctor.Warning], "warning"))
	return b.String()
}

// printable takes out what could steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
}
