package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"testudo/internal/ctl"
	"testudo/internal/filestate"
)

// filesCmd shows the state of files.
type filesCmd struct {
	homeFlag
	Node         string `placeholder:"NAME" help:"Only this node."`
	State        string `placeholder:"STATE" help:"Only files in this state: synchronized, pending, failed, 'to be deleted'."`
	Prefix       string `placeholder:"PATH" help:"Only files whose path begins so: etc/shared/."`
	Limit        int    `default:"100" help:"At most so many files; 0 for all."`
	Summary      bool   `help:"Only the summary of each node."`
	AcceptShrink bool   `help:"On a master that holds back the loss of many of its files: let it pass. Counts for ten minutes."`
	JSON         bool   `name:"json" help:"Write JSON."`
}

const (
	// stateFile is the database, relative to the home.
	stateFile = "queue/db/cluster.db"
	// acceptedFor is how long a decision counts.
	acceptedFor = 10 * time.Minute
)

// Validate is called by the parser.
func (c *filesCmd) Validate() error {
	if c.State == "to-be-deleted" { // no need of quotes in a shell
		c.State = string(filestate.ToBeDeleted)
	}
	if c.State != "" && !filestate.State(c.State).Valid() {
		return errors.New("--state must be one of synchronized, pending, failed, 'to be deleted'")
	}
	if c.Limit < 0 {
		return errors.New("--limit must not be negative")
	}
	return nil
}

// Run shows it.
func (c *filesCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stateFile)
	view, err := c.view(e.ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("nothing is known of the files yet: %s is not there; the node has not run", path)
	case err != nil:
		return err
	case c.AcceptShrink:
		return c.accept(e, path, view)
	case c.Node != "" && len(view.Nodes) == 0:
		return fmt.Errorf("no node %s is known in %s", c.Node, dir)
	}
	if ctl.New(dir).Running(e.ctx) != nil {
		view.atRest()
		fmt.Fprintf(e.err, "testudo: no node runs in %s; this is what was known when the last one ended\n", dir)
	}
	if c.JSON {
		return view.writeJSON(e.ctx, e.out)
	}
	return view.writeText(e.ctx, e.out)
}

// accept lets a shrink pass.
func (c *filesCmd) accept(e *env, path string, v *fileView) error {
	if role := v.ownRole(); role == "worker" {
		return errors.New("this is a worker; only the master holds files back")
	}
	until := time.Now().Add(acceptedFor)
	if err := filestate.AcceptShrink(e.ctx, path, until); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(e.out, map[string]any{"accepted_until": until.UTC().Truncate(time.Second), "held_back": v.Held})
	}
	what := "Nothing is known to be held back at the moment."
	if v.Held != nil {
		what = "Held back: " + v.Held.Detail + "."
	}
	_, err := fmt.Fprintf(e.out, "%s\nAccepted: the master lets the loss of files pass at its next look, until %s.\n", what, until.Format("15:04:05"))
	return err
}

// view reads all but the files.
func (c *filesCmd) view(ctx context.Context, path string) (*fileView, error) {
	v := &fileView{path: path, summary: c.Summary}
	v.filter = filestate.Filter{Node: c.Node, State: filestate.State(c.State), FilePrefix: c.Prefix, Limit: c.Limit}
	nodes, err := filestate.Nodes(ctx, path)
	if err != nil {
		return nil, err
	}
	counts, err := filestate.Counts(ctx, path)
	if err != nil {
		return nil, err
	}
	held, err := filestate.HeldBack(ctx, path)
	if err != nil {
		return nil, err
	}
	if held != nil {
		v.Held = &heldBack{Since: held.Since.UTC(), Detail: held.Detail}
	}
	for _, n := range nodes {
		if c.Node == "" || c.Node == n.Node {
			v.Nodes = append(v.Nodes, summarise(n, counts[n.Node]))
		}
	}
	return v, nil
}
