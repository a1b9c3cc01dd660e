package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"testudo/internal/nodedb"
	"testudo/internal/screen"
)

// watchRows is how many agents --watch shows below the counts at most.
const watchRows = 20

// picture is what --watch writes as a line of JSON.
type picture struct {
	Time   time.Time      `json:"time"`
	Counts *nodedb.Counts `json:"counts,omitempty"`
	Total  int            `json:"total"`
	Agents []nodedb.Agent `json:"agents,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// watch shows counts and agents until a signal ends it, which is no failure. A
// node that goes away and comes back is waited for.
func (c *agentsCmd) watch(e *env, dir string, v *agentView) error {
	v.filter.Limit = min(cmp.Or(v.filter.Limit, watchRows), watchRows) // 0 wants as many as there is room for
	reader := &again{dir: dir}
	defer reader.close()
	look := func() picture { return v.look(e.ctx, reader) }
	return live(e, c.Every, 0, look, func(out *screen.Screen, p picture) error {
		switch {
		case c.JSON:
			return writeLine(e.out, p)
		case p.Error != "" && out.Terminal():
			out.Live(fmt.Sprintf("%s  %s", p.Time.Local().Format("15:04:05"), p.Error))
		case p.Error != "":
			fmt.Fprintf(e.err, "testudo: %s\n", p.Error)
		case out.Terminal():
			out.Live(v.layOut(p, out.Width()))
		default:
			out.Linef("%s", v.layOut(p, 0))
		}
		return nil
	})
}

// look takes one picture; what went wrong is in it, too.
func (v *agentView) look(ctx context.Context, r *again) picture {
	p := picture{Time: time.Now().UTC().Truncate(time.Millisecond)}
	err := r.with(ctx, func(reader *nodedb.Reader) error {
		counts, err := reader.Counts(ctx)
		if err != nil {
			return err
		}
		p.Counts, p.Total = &counts, counts.Total
		if v.counts {
			return nil
		}
		p.Agents = nil
		p.Total, err = reader.List(ctx, v.filter, func(a nodedb.Agent) error {
			p.Agents = append(p.Agents, a)
			return nil
		})
		return err
	})
	if err != nil {
		p.Error = oneLine(err.Error())
	}
	return p
}

func (v *agentView) layOut(p picture, width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", p.Time.Local().Format("15:04:05"), v.home)
	b.WriteString(countTable(*p.Counts, width))
	if v.counts {
		return strings.TrimSuffix(b.String(), "\n")
	}
	rows := make([][]string, 0, len(p.Agents))
	for _, a := range p.Agents {
		rows = append(rows, agentRow(a))
	}
	b.WriteString("\n" + screen.Table(agentColumns(), rows, width))
	if len(rows) < p.Total {
		fmt.Fprintf(&b, "%d of %s", len(rows), plural(p.Total, "agent"))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// again is a reader that is opened anew after it failed.
type again struct {
	dir    string
	reader *nodedb.Reader
}

func (a *again) with(ctx context.Context, ask func(*nodedb.Reader) error) error {
	// A file is opened each time: a node may have come to serve it.
	if a.reader != nil && a.reader.Origin() == nodedb.File {
		a.close()
	}
	if a.reader == nil {
		reader, err := openAgents(ctx, a.dir)
		if err != nil {
			return err
		}
		a.reader = reader
	}
	err := ask(a.reader)
	if err != nil && !errors.As(err, new(*nodedb.RefusedError)) {
		a.close()
	}
	return err
}

func (a *again) close() {
	if a.reader != nil {
		a.reader.Close()
		a.reader = nil
	}
}
