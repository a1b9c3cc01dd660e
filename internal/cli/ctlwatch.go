package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"testudo/internal/ctl"
	"testudo/internal/nodeinfo"
	"testudo/internal/screen"
	"testudo/internal/why"
)

type ctlWatchCmd struct {
	nodeFlags
	Every time.Duration `default:"2s" help:"How often to look, at least 100ms."`
	Times int           `help:"End after so many looks; 0 never ends."`
}

// Validate is called by the parser.
func (c *ctlWatchCmd) Validate() error {
	if c.Every < shortestLook {
		return fmt.Errorf("--every must be at least %s", shortestLook)
	}
	return nil
}

// clusterPicture is one look at the cluster.
type clusterPicture struct {
	Time   time.Time       `json:"time"`
	Health json.RawMessage `json:"health,omitempty"`
	States []why.Report    `json:"reports,omitempty"`
	Error  string          `json:"error,omitempty"`

	health nodeinfo.Health
}

// Run shows pictures until a signal ends it, which is no failure. A node that
// goes away and comes back is waited for. Without a terminal each picture is
// written below the one before, with --json as a line.
func (c *ctlWatchCmd) Run(e *env) error {
	client, dir, err := c.client()
	if err != nil {
		return err
	}
	look := func() clusterPicture { return lookAt(e.ctx, client, dir) }
	return live(e, c.Every, c.Times, look, func(out *screen.Screen, p clusterPicture) error { return c.show(e, out, p) })
}

// lookAt takes a picture; what went wrong is in it.
func lookAt(ctx context.Context, client *ctl.Client, dir string) clusterPicture {
	p := clusterPicture{Time: time.Now().UTC().Truncate(time.Millisecond)}
	var err error
	if p.States, err = client.Why(ctx, ""); err == nil {
		if p.health, err = client.Health(ctx, nil); err == nil {
			p.Health = p.health.AppendJSON(nil)
		}
	}
	if err != nil {
		p.Error = oneLine(advised(err, dir).Error())
	}
	return p
}

func (c *ctlWatchCmd) show(e *env, out *screen.Screen, p clusterPicture) error {
	if c.JSON {
		return writeLine(e.out, p)
	}
	text := p.Time.Local().Format("15:04:05") + "\n"
	if len(p.States) > 0 {
		text += ctl.StatesTable(p.States, p.Time, out.Width())
	}
	if len(p.health.Nodes) > 0 {
		text += "\n" + ctl.HealthTable(p.health, p.Time, out.Width())
	}
	if p.Error != "" {
		text += within(p.Error, out.Width()) + "\n"
	}
	if out.Terminal() {
		out.Live(text)
		return nil
	}
	return e.say(text + "\n")
}

// within cuts a line to a width; 0 is any.
func within(line string, width int) string {
	if runes := []rune(line); width > 0 && len(runes) > width {
		return string(runes[:width])
	}
	return line
}
