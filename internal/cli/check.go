package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"testudo/internal/config"
	"testudo/internal/screen"
)

// checkReport is what -t writes as JSON.
type checkReport struct {
	OK       bool           `json:"ok"`
	Home     string         `json:"home"`
	Problems []checkProblem `json:"problems"`
	Settings []checkSetting `json:"settings,omitempty"`
}

type checkProblem struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Setting  string `json:"setting,omitempty"`
	Code     int    `json:"code,omitempty"`
	Text     string `json:"text"`
}

type checkSetting struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
	Source  string `json:"source"`
}

// check tells all problems and, when wanted, all settings.
func (e *env) check(cfg *config.Config, problems []config.Problem, settings, asJSON bool) error {
	bad := config.HasErrors(problems)
	var err error
	if asJSON {
		err = e.checkJSON(cfg, problems, settings)
	} else {
		err = e.checkText(cfg, problems, settings)
	}
	if err == nil && bad {
		return codeError(exitFailed)
	}
	return err
}

func (e *env) checkJSON(cfg *config.Config, problems []config.Problem, settings bool) error {
	report := checkReport{OK: !config.HasErrors(problems), Home: cfg.Home, Problems: []checkProblem{}}
	for _, p := range problems {
		report.Problems = append(report.Problems, checkProblem{
			Severity: p.Severity.String(), File: p.File, Line: p.Line, Setting: p.Path, Code: int(p.Code), Text: p.Text,
		})
	}
	if settings {
		for _, s := range cfg.Explain() {
			report.Settings = append(report.Settings, checkSetting{s.Path, s.Value, s.Source})
		}
	}
	return writeJSON(e.out, report)
}

func (e *env) checkText(cfg *config.Config, problems []config.Problem, settings bool) error {
	if settings {
		explained := cfg.Explain()
		rows := make([][]string, 0, len(explained))
		for _, s := range explained {
			rows = append(rows, []string{s.Path, s.Value, s.Source})
		}
		columns := []screen.Column{{Title: "setting"}, {Title: "value"}, {Title: "from"}}
		if _, err := io.WriteString(e.out, screen.Table(columns, rows, 0)); err != nil {
			return fmt.Errorf("write the settings: %w", err)
		}
	}
	for _, p := range problems {
		fmt.Fprintln(e.err, p)
	}
	if config.HasErrors(problems) {
		count := len(slices.DeleteFunc(slices.Clone(problems), func(p config.Problem) bool { return p.Severity != config.SeverityError }))
		fmt.Fprintf(e.err, "testudo: the configuration of %s has %s\n", cfg.Home, plural(count, "error"))
		return nil
	}
	what := fmt.Sprintf("%s %s of cluster %s", cfg.Cluster.Role, cfg.Cluster.NodeName, cfg.Cluster.Name)
	if cfg.Cluster.Disabled {
		what = "the cluster is disabled"
	}
	fmt.Fprintf(e.out, "The configuration of %s is good: %s.\n", cfg.Home, what)
	return nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// writeJSON writes one indented document.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// writeLine writes a value as JSON on one line.
func writeLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
