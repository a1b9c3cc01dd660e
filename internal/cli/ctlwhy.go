package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"testudo/internal/config"
	"testudo/internal/ctl"
	"testudo/internal/fault"
	"testudo/internal/filestate"
	"testudo/internal/why"
)

type ctlWhyCmd struct {
	nodeFlags
	Node string `arg:"" optional:"" name:"node" help:"The node; without it, the one whose home this is."`
}

// exitTroubled says that the node asked about is not well.
const exitTroubled = 3

// Run says it. The exit code is 3 when not all is well.
func (c *ctlWhyCmd) Run(e *env) error {
	client, dir, err := c.client()
	if err != nil {
		return err
	}
	name := c.Node
	if name == "" {
		cfg, _ := config.Load(config.LoadOptions{Home: dir})
		name = cfg.Cluster.NodeName
	}
	reports, err := client.Why(e.ctx, name)
	switch {
	case fault.Has(err, fault.NotRunning):
		reports, err = atRest(dir, name), nil
	case errors.Is(err, ctl.ErrSilent):
		reports, err = mute(dir, name), nil
	}
	if err != nil {
		return advised(err, dir)
	}
	for i := range reports {
		if reports[i].State == why.Unknown && err == nil {
			err = takenDown(e.ctx, dir, &reports[i])
		}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(e.out, map[string]any{"reports": orEmpty(reports)})
	} else {
		err = e.say(ctl.WhyText(reports, time.Now()))
	}
	if err != nil {
		return err
	}
	for _, r := range reports {
		if r.State != why.Well {
			return codeError(exitTroubled)
		}
	}
	return nil
}

// atRest reports on a node when the one whose home this is does not run.
func atRest(dir, name string) []why.Report {
	return []why.Report{untold(name, fmt.Sprintf("No node runs in %s, so nobody can say how %s is.", dir, name), why.Finding{
		Severity: why.Critical, Text: "The node of this home does not run.", Code: fault.NotRunning,
		Remedy: "Start it; 'testudo doctor' says what could keep it from running, logs/cluster.log why it ended.",
	})}
}

// mute reports on a node when the one whose home this is takes the question and
// does not answer.
func mute(dir, name string) []why.Report {
	return []why.Report{untold(name, fmt.Sprintf("The node in %s does not answer, so nobody can say how %s is.", dir, name), why.Finding{
		Severity: why.Critical, Text: "The node of this home takes questions and does not answer.", Code: fault.RequestTimeout,
		Remedy: "'testudo doctor' says whether it is stopped; see how busy the machine is, and logs/cluster.log.",
	})}
}

// untold is a report without a node that tells.
func untold(name, summary string, f why.Finding) why.Report {
	return why.Report{Node: name, ToldBy: "this program", State: why.Unknown, Summary: summary, Findings: []why.Finding{f}}
}

// takenDown adds what the node of the home has taken down of another, now or
// before it was last started.
func takenDown(ctx context.Context, dir string, r *why.Report) error {
	nodes, err := filestate.Nodes(ctx, filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has never run
	}
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Node != r.Node {
			if !slices.Contains(r.Known, n.Node) {
				r.Known = append(r.Known, n.Node)
			}
			continue
		}
		f := why.Finding{
			Severity: why.Note, Since: present(n.ConnectedSince),
			Text: fmt.Sprintf("The files of this node say that %s was connected once, as a %s of version %s at %s.", n.Node, n.Role, n.Version, cmp.Or(n.Address, "this machine")),
		}
		if !n.LastSync.IsZero() {
			f.Text += fmt.Sprintf(" It was last sent files at %s.", n.LastSync.UTC().Format(time.DateTime+" MST"))
		}
		r.Findings = append(r.Findings, f)
	}
	return nil
}
