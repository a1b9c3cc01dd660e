package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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
	if fault.Has(err, fault.NotRunning) {
		reports, err = atRest(e.ctx, dir, name)
	}
	if err != nil {
		return advised(err, dir)
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

// atRest reports on a node when the one whose home this is does not run: what
// that node had taken down of it.
func atRest(ctx context.Context, dir, name string) ([]why.Report, error) {
	nodes, err := filestate.Nodes(ctx, filepath.Join(dir, stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r := why.Report{Node: name, ToldBy: "nobody, only the files of " + dir, State: why.Unknown, Summary: fmt.Sprintf("No node runs in %s, so nobody can say how %s is.", dir, name)}
	r.Findings = []why.Finding{{
		Severity: why.Critical, Text: "The node of this home does not run.", Code: fault.NotRunning,
		Remedy: "Start it; 'testudo doctor' says what could keep it from running, logs/cluster.log why it ended.",
	}}
	for _, n := range nodes {
		if n.Node != name {
			r.Known = append(r.Known, n.Node)
			continue
		}
		f := why.Finding{Severity: why.Note, Text: fmt.Sprintf("When this node last ran, %s was there.", name), Since: present(n.ConnectedSince)}
		if !n.Connected {
			f.Text = fmt.Sprintf("When this node last ran, %s was not connected.", name)
		}
		if !n.LastSync.IsZero() {
			f.Text += fmt.Sprintf(" It was last sent files at %s.", n.LastSync.UTC().Format(time.DateTime+" MST"))
		}
		r.Findings = append(r.Findings, f)
	}
	return []why.Report{r}, nil
}
