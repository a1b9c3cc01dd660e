package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"testudo/internal/config"
	"testudo/internal/node"
)

// nodeCmd runs a node.
type nodeCmd struct {
	homeFlag
	Conf    string `short:"c" placeholder:"FILE" help:"Read this file in the place of etc/ossec.conf."`
	Test    bool   `short:"t" help:"Check the configuration, say all that is wrong with it, and end: 0 when a node could start, else 1."`
	Verbose bool   `short:"v" help:"With -t: print each setting and where it came from."`
	JSON    bool   `name:"json" help:"With -t: write JSON."`
	Debug   int    `short:"d" type:"counter" help:"Log more; twice, even more. The option wazuh_clusterd.debug, when it is set, beats this."`
	Daemon  bool   `help:"Run in the background. This program ends when the node is up, or says why it is not."`
	Root    bool   `short:"r" help:"Started as root: stay root. Otherwise the node becomes the user wazuh, where that exists."`
	Quiet   bool   `short:"q" help:"Do not copy the log to standard error."`
}

// Validate is called by the parser.
func (c *nodeCmd) Validate() error {
	switch {
	case (c.Verbose || c.JSON) && !c.Test:
		return errors.New("-v and --json are for -t")
	case c.Daemon && c.Test:
		return errors.New("-t and --daemon exclude each other")
	}
	return nil
}

// Run runs the node until a signal ends it.
func (c *nodeCmd) Run(e *env) error {
	dir, err := c.locate(c.Conf)
	if err != nil {
		return err
	}
	conf, err := absoluteOr(c.Conf)
	if err != nil {
		return err
	}
	if c.Daemon && e.daemon == nil {
		return e.becomeDaemon()
	}
	var told []config.Problem
	if !c.Test && conf == "" {
		if told, err = endTrial(dir); err != nil {
			return err
		}
	}
	cfg, problems := config.Load(config.LoadOptions{Home: dir, ConfFile: conf})
	if c.Test {
		if !config.HasErrors(problems) {
			problems = append(problems, node.CheckEnrolment(e.ctx, cfg)...)
		}
		return e.check(cfg, problems, c.Verbose, c.JSON)
	}
	r := &runner{env: e, cfg: cfg, problems: slices.Concat(told, problems), debug: c.Debug, stayRoot: c.Root}
	r.stderr = !c.Quiet && e.daemon == nil
	switch {
	case config.HasErrors(problems):
		return r.refuse()
	case cfg.Cluster.Disabled:
		return fmt.Errorf("the cluster is disabled in %s; set <disabled>no</disabled> in its section <cluster>", confName(dir, conf))
	}
	return r.run()
}

func confName(dir, conf string) string {
	if conf != "" {
		return conf
	}
	return filepath.Join(dir, config.ConfPath)
}

// absoluteOr makes a path independent of the working directory; empty stays
// empty.
func absoluteOr(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("path of %s: %w", path, err)
	}
	return full, nil
}
