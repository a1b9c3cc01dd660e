// Package doctor examines one home, and the node that may run in it, and says of
// each thing whether it is as it should be and what to do when it is not
// (docs/ctl.md §6). It changes nothing.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"testudo/internal/config"
	"testudo/internal/ctl"
	"testudo/internal/fault"
	"testudo/internal/home"
)

// Severity says how bad a finding is.
type Severity string

// Severities.
const (
	Fine    Severity = "fine"
	Warning Severity = "warning" // the node works, but somebody should look
	Error   Severity = "error"   // the node does not work, or not fully
)

func (s Severity) rank() int {
	return slices.Index([]Severity{Fine, Warning, Error}, s)
}

// Finding is what was found out about one thing.
type Finding struct {
	Check    string   `json:"check"` // the name of what was looked at: "configuration"
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`             // one sentence
	Remedy   string   `json:"remedy,omitempty"` // one sentence; of all that is not fine
}

// Report is what one examination found.
type Report struct {
	Home     string    `json:"home"`
	Node     string    `json:"node,omitempty"`
	Role     string    `json:"role,omitempty"`
	Running  bool      `json:"running"` // a node answers
	Worst    Severity  `json:"worst"`
	Findings []Finding `json:"findings"`
}

// exam is an examination under way.
type exam struct {
	Report
	cfg      *config.Config
	problems []config.Problem
	client   *ctl.Client
	patience time.Duration // for one answer of the node
	stuck    bool          // the node takes connections and does not answer
}

// checks are all that is looked at, in this order. Some compare what is with what
// is configured, which is not known when the configuration has errors.
var checks = []struct {
	name       string
	look       func(x *exam, ctx context.Context)
	configured bool
}{
	{"configuration", (*exam).configuration, false},
	{"key", (*exam).key, false},
	{"process", (*exam).process, false},
	{"sockets", (*exam).sockets, true},
	{"ports", (*exam).ports, true},
	{"enrolment", (*exam).enrolment, true},
	{"files", (*exam).files, false},
	{"disk", (*exam).disk, false},
	{"databases", (*exam).databases, false},
	{"limits", (*exam).limits, true},
	{"versions", (*exam).versions, true},
	{"clock", (*exam).clock, false},
	{"node", (*exam).node, false},
}

// Checks names what is looked at.
func Checks() (names []string) {
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// askTime is how long the node may take for one answer.
const askTime = 10 * time.Second

// Examine looks at the home in dir. What cannot be found out is a finding, too;
// a context that ends leaves the rest out.
func Examine(ctx context.Context, dir string) Report { return examine(ctx, dir, askTime) }

func examine(ctx context.Context, dir string, patience time.Duration) Report {
	x := &exam{Report: Report{Home: dir}, client: ctl.New(dir), patience: patience}
	info, err := os.Stat(dir)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, config.ConfPath))
	}
	if errors.Is(err, fs.ErrPermission) {
		x.add("home", Error, fmt.Sprintf("This user may not look into %s, so nothing can be said of it.", dir), "Run doctor as root, or as the account that runs the node.")
		return x.done()
	}
	if info == nil || !info.IsDir() {
		x.add("home", Error, fmt.Sprintf("There is no home in %s.", dir), "Make one with 'testudo init', or say where it is with --home.")
		return x.done()
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	x.Running = x.client.Running(asking) == nil
	cancel()
	as := ""
	if x.Running {
		as = home.StartedAs(dir)
	}
	x.cfg, x.problems = home.ReadConfig(dir, as)
	x.Node, x.Role = x.cfg.Cluster.NodeName, string(x.cfg.Cluster.Role)
	var left []string
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		if c.configured && config.HasErrors(x.problems) {
			left = append(left, c.name)
			continue
		}
		before := len(x.Findings)
		c.look(x, ctx)
		for i := before; i < len(x.Findings); i++ {
			x.Findings[i].Check = c.name
		}
	}
	if len(left) > 0 {
		x.add("configuration", Warning, fmt.Sprintf("Not looked at, because what they should be is not known: %s.", strings.Join(left, ", ")),
			"Examine again when the configuration is right.")
	}
	return x.done()
}

// done sums up.
func (x *exam) done() Report {
	x.Worst = Fine
	for _, f := range x.Findings {
		if f.Severity.rank() > x.Worst.rank() {
			x.Worst = f.Severity
		}
	}
	return x.Report
}

func (x *exam) add(check string, s Severity, text, remedy string) {
	x.Findings = append(x.Findings, Finding{check, s, text, remedy})
}

func (x *exam) fine(format string, args ...any) { x.add("", Fine, fmt.Sprintf(format, args...), "") }

func (x *exam) warn(remedy, format string, args ...any) {
	x.add("", Warning, fmt.Sprintf(format, args...), remedy)
}

func (x *exam) fail(remedy, format string, args ...any) {
	x.add("", Error, fmt.Sprintf(format, args...), remedy)
}

// answers says whether a node runs and answers.
func (x *exam) answers() bool { return x.Running && !x.stuck }

// worker says whether the node is to be one.
func (x *exam) worker() bool { return x.cfg.Cluster.Role == config.Worker }

// configuration tells what config finds.
func (x *exam) configuration(context.Context) {
	n := len(x.Findings)
	for _, p := range x.problems {
		text := strings.TrimSuffix(p.String(), ".") + "."
		switch p.Severity {
		case config.SeverityError:
			remedy := "Correct " + p.File
			if _, err := os.Stat(p.File); errors.Is(err, fs.ErrNotExist) {
				remedy = "Put " + p.File + " back, or make a home with 'testudo init' where there has never been one"
			}
			x.fail(fmt.Sprintf("%s; 'testudo node -t --home %s' checks it again.", remedy, x.Home), "%s", text)
		case config.SeverityWarning:
			x.warn("Look whether it is meant so.", "%s", text)
		}
	}
	if x.cfg.Cluster.Disabled && !config.HasErrors(x.problems) {
		x.warn("Set <disabled> to no in the <cluster> section of etc/ossec.conf.", "The cluster is disabled: no node runs with this configuration.")
	}
	if len(x.Findings) == n {
		x.fine("The configuration is good: %s %s of cluster %s.", x.Role, x.Node, x.cfg.Cluster.Name)
	}
}

// fewDistinct is how many different characters a key has at least that was made
// by chance; of 32 hexadecimal ones fewer are found once in some millions.
const fewDistinct = 7

// key looks at the cluster's key, which is never shown.
func (x *exam) key(context.Context) {
	const remedy = "Make one with 'openssl rand -hex 16' and set it as <key> on all nodes of the cluster."
	key := x.cfg.Cluster.Key.Reveal()
	if key == "" && config.HasErrors(x.problems) {
		return // it has not been read
	}
	if problem := badKey(key); problem != "" {
		x.fail(remedy, "The cluster's key cannot be used: %s.", problem)
		return
	}
	distinct := map[rune]bool{}
	for _, c := range key {
		distinct[c] = true
	}
	if len(distinct) < fewDistinct {
		x.warn(remedy, "The cluster's key has only %d different characters and is easily guessed.", len(distinct))
		return
	}
	x.fine("The cluster's key has the right form.")
}

func badKey(key string) string {
	if len(key) != 32 {
		return fmt.Sprintf("it has %d characters, not 32", len(key))
	}
	for _, c := range key {
		if letter, digit := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z', c >= '0' && c <= '9'; !letter && !digit {
			return "it has characters other than letters and digits"
		}
	}
	return ""
}

// process looks whether a node runs.
func (x *exam) process(ctx context.Context) {
	pid := x.pid()
	var cfg ctl.Config
	var err error
	if x.Running {
		asking, cancel := context.WithTimeout(ctx, x.patience)
		cfg, err = x.client.Config(asking)
		cancel()
		x.stuck = fault.Has(err, fault.RequestTimeout) || errors.Is(err, ctl.ErrClosed)
	}
	switch {
	case errors.Is(err, ctl.ErrClosed):
		x.fail("See logs/cluster.log, which names too many connections; end the programs that hold them, or raise local.connections in "+config.SettingsPath+".",
			"The node closes the connection without an answer: it is ending, or too many programs ask it.")
	case x.stuck && pid > 0 && frozen(pid):
		x.fail(fmt.Sprintf("Let it go on with 'kill -CONT %d', and see who stopped it.", pid), "The node is stopped as by SIGSTOP, process %d: it does nothing.", pid)
	case x.stuck:
		x.fail("See logs/cluster.log and how busy the machine is; start the node again when it does not come to itself.",
			"The node takes questions, but has not answered in %s.", x.patience)
	case x.Running && pid > 0:
		x.fine("The node runs, as process %d.", pid)
	case x.Running:
		x.fine("The node runs.")
	case pid > 0:
		x.fail(fmt.Sprintf("See logs/cluster.log; end process %d when it does not come to itself, and start the node again.", pid),
			"Process %d has the node's pid file and runs, but nobody answers in queue/cluster/%s.", pid, home.Socket)
	default:
		x.warn("Start it with 'testudo node' or the installation's control script.", "No node runs in this home.")
	}
	switch {
	case !x.Running, x.stuck:
	case err != nil:
		x.fail("See logs/cluster.log.", "The node does not answer as it should: %s.", err)
	case config.HasErrors(x.problems): // which would not start a node as it is
	case cfg.Node != x.Node || cfg.Type != x.Role || cfg.Cluster != x.cfg.Cluster.Name:
		x.warn("Start the node again, so that it uses what etc/ossec.conf says now.",
			"The node runs as %s %s of cluster %s, but etc/ossec.conf says %s %s of cluster %s.", cfg.Type, cfg.Node, cfg.Cluster, x.Role, x.Node, x.cfg.Cluster.Name)
	}
}

// node tells what the running node says of itself.
func (x *exam) node(ctx context.Context) {
	if !x.answers() {
		return
	}
	reports, err := x.client.Why(ctx, x.Node)
	if err != nil {
		x.fail(cmp.Or(fault.From(err).Code.Advice(), "See logs/cluster.log."), "The node does not say how it is: %s.", err)
		return
	}
	n := len(x.Findings)
	for _, r := range reports {
		for _, f := range r.Findings {
			remedy := f.Remedy
			if remedy == "" {
				remedy = fmt.Sprintf("'testudo ctl why %s' says more.", x.Node)
			}
			switch f.Severity {
			case "critical":
				x.fail(remedy, "%s says: %s", r.ToldBy, f.Text)
			case "warning":
				x.warn(remedy, "%s says: %s", r.ToldBy, f.Text)
			}
		}
	}
	if len(x.Findings) == n && len(reports) > 0 {
		x.fine("%s", reports[0].Summary)
	}
}

// mayRead says whether we may read a file; one that is not there is no matter.
func mayRead(path string) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// reason is an error without the path.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
