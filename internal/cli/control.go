package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"testudo/internal/config"
	"testudo/internal/ctl"
	"testudo/internal/fault"
)

// controlName is the name under which we are the original's program that shows
// a cluster: its flags, columns, texts and exit codes (docs/ctl.md §2).
const controlName = "cluster_control"

const controlUsage = `usage: cluster_control [-h] [-d] [-fn [NODE ...]] [-fs [STATE ...]]
                       [-l | -a | -i [more] | -u] [--home DIR]
`

const controlHelp = controlUsage + `
Shows the nodes and agents of the cluster that this node belongs to.

options:
  -h, --help            this help
  -l, --list-nodes      list the nodes
  -a, --list-agents     list the agents
  -i [more], --health [more]
                        how the nodes are; with "more", in detail
  -u, --usage           examples
  -fn [NODE ...], --filter-node [NODE ...]
                        only these nodes
  -fs [STATE ...], --filter-agent-status [STATE ...]
                        with -a: only agents in these states
  -d, --debug           tell what is asked, and end with 1 when it fails
  --home DIR            the node's directory, where it is not the installation's

'testudo ctl --help' has more.
`

const controlExamples = `Usage:
  cluster_control -l                            all nodes
  cluster_control -l -fn master w1              two nodes
  cluster_control -a                            all agents
  cluster_control -a -fs active -fn w1          active agents that report to w1
  cluster_control -i                            when each worker was last in step
  cluster_control -i more -fn w1                all about one worker
`

// controlArgs is the command line of cluster_control.
type controlArgs struct {
	action string // "", "list", "agents", "health", "usage"
	help   bool
	more   bool
	debug  bool
	home   string
	nodes  []string // nil: all
	states []string // nil: all
}

// controlFlags are the options by all of their names.
var controlFlags = map[string]string{
	"-h": "help", "--help": "help", "-d": "debug", "--debug": "debug",
	"-l": "list", "--list-nodes": "list", "-a": "agents", "--list-agents": "agents",
	"-i": "health", "--health": "health", "-u": "usage", "--usage": "usage",
	"-fn": "node", "--filter-node": "node", "-fs": "state", "--filter-agent-status": "state", "--home": "home",
}

// parseControl reads the command line as the original does: an option takes the
// words behind it up to the next option, and long names may be cut short.
func parseControl(words []string) (a controlArgs, err error) {
	for len(words) > 0 {
		flag, value, given := strings.Cut(words[0], "=")
		name, err := controlFlag(flag)
		if err != nil {
			return a, err
		}
		rest := words[1:]
		n := 0
		for n < len(rest) && !strings.HasPrefix(rest[n], "-") {
			n++
		}
		values, after := rest[:n], rest[n:]
		if given {
			values, after = []string{value}, rest
		}
		left, err := a.set(name, flag, values)
		if err != nil {
			return a, err
		}
		if len(left) > 0 {
			return a, usageError{text: "unexpected argument: " + strings.Join(left, " ")}
		}
		words = after
	}
	return a, nil
}

func controlFlag(flag string) (name string, err error) {
	if name, known := controlFlags[flag]; known {
		return name, nil
	}
	if strings.HasPrefix(flag, "--") && len(flag) > 2 {
		for long, n := range controlFlags {
			if !strings.HasPrefix(long, flag) {
				continue
			}
			if name != "" && name != n {
				return "", usageError{text: "ambiguous option: " + flag}
			}
			name = n
		}
	}
	if name == "" {
		return "", usageError{text: "unexpected argument: " + flag}
	}
	return name, nil
}

// set takes an option with the words behind it and gives back those it does not
// take.
func (a *controlArgs) set(name, flag string, values []string) (left []string, err error) {
	switch name {
	case "help":
		a.help = true
		return values, nil
	case "debug":
		a.debug = true
		return values, nil
	case "node":
		a.nodes = append([]string{}, values...)
		return nil, nil
	case "state":
		a.states = append([]string{}, values...)
		return nil, nil
	case "home":
		if len(values) != 1 {
			return nil, usageError{text: "argument --home: expected one argument"}
		}
		a.home = values[0]
		return nil, nil
	}
	if a.action != "" && a.action != name {
		return nil, usageError{text: fmt.Sprintf("argument %s: not allowed with -l, -a, -i or -u", flag)}
	}
	a.action = name
	if name == "health" && len(values) > 0 {
		a.more = strings.EqualFold(values[0], "more")
		values = values[1:]
	}
	return values, nil
}

// control is the whole of the original's program.
func (e *env) control(words []string) error {
	a, err := parseControl(words)
	if err != nil {
		fmt.Fprintf(e.err, "%s%s: error: %s\n", controlUsage, controlName, oneLine(err.Error()))
		return codeError(exitUsage)
	}
	if a.help {
		return e.say(controlHelp)
	}
	cluster, client, err := e.controlled(a.home)
	if err != nil {
		return e.controlFailed(err)
	}
	if a.debug {
		client.Trace = func(command string, argument []byte) {
			fmt.Fprintf(e.err, "DEBUG: %s %s\n", command, argument)
		}
	}
	if a.states != nil && a.action != "agents" {
		fmt.Fprintf(e.err, "ERROR: Wrong arguments.\n%s", controlUsage)
		return codeError(exitFailed)
	}
	text, err := a.run(e.ctx, cluster, client)
	if e.ctx.Err() != nil {
		err, text = nil, "" // interrupted: the original ends well
	}
	switch {
	case fault.Has(err, fault.NotRunning):
		return e.controlFailed(errNotRunning)
	case err != nil:
		fmt.Fprintf(e.err, "ERROR: %s\n", oneLine(err.Error()))
		if a.debug {
			return codeError(exitFailed)
		}
		return nil
	}
	return e.say(text)
}

func (e *env) say(text string) error {
	if _, err := fmt.Fprint(e.out, text); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

var errNotRunning = errors.New("Cluster is not running.") //nolint:staticcheck // the original's line

// controlFailed says why nothing can be asked at all.
func (e *env) controlFailed(err error) error {
	fmt.Fprintf(e.err, "ERROR: %s\n", oneLine(err.Error()))
	return codeError(exitFailed)
}

// controlled finds the node, which must run, and the name of its cluster.
func (e *env) controlled(dir string) (cluster string, client *ctl.Client, err error) {
	if dir, err = (homeFlag{Home: dir}).locate(""); err != nil {
		return "", nil, err
	}
	cfg, problems := config.Load(config.LoadOptions{Home: dir})
	for _, p := range problems {
		if p.Severity == config.SeverityError {
			return "", nil, errors.New(p.String())
		}
	}
	client = ctl.New(dir)
	if cfg.Cluster.Disabled {
		return "", nil, errNotRunning
	}
	if err := client.Running(e.ctx); err != nil {
		if fault.Has(err, fault.NotRunning) {
			return "", nil, errNotRunning
		}
		return "", nil, advised(err, dir)
	}
	return cfg.Cluster.Name, client, nil
}

// run asks what the options want and lays it out.
func (a *controlArgs) run(ctx context.Context, cluster string, c *ctl.Client) (string, error) {
	switch a.action {
	case "list":
		nodes, err := c.Nodes(ctx, a.nodes)
		return ctl.ClassicNodes(nodes), err
	case "agents":
		agents, err := c.Agents(ctx, a.nodes, a.states)
		return ctl.ClassicAgents(agents), err
	case "health":
		names := a.nodes
		if names == nil {
			nodes, err := c.Nodes(ctx, nil)
			if err != nil {
				return "", err
			}
			for _, n := range nodes {
				names = append(names, n.Name)
			}
		}
		h, err := c.Health(ctx, names)
		if a.more {
			return ctl.ClassicHealthMore(cluster, h), err
		}
		return ctl.ClassicHealth(cluster, h), err
	case "usage":
		return controlExamples, nil
	}
	return controlHelp, nil
}
