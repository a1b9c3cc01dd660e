// Package cli is the command line: one verb a file, and the programs of an
// existing installation that this program stands in for when it is called by
// their names.
//
// Exit codes: 0 done, 1 not done (one line on standard error says why), 2 wrong
// usage. Those of wazuh-clusterd are its own (docs/configuration.md §4).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Streams is where the program writes.
type Streams struct {
	Out io.Writer
	Err io.Writer
}

// env is what a verb works with.
type env struct {
	ctx  context.Context // ends with SIGINT or SIGTERM
	out  io.Writer
	err  io.Writer
	args []string // of the whole program, with its name

	daemon *daemonReport // set while this process starts as a daemon
}

// root is the grammar of testudo.
type root struct {
	Node     nodeCmd     `cmd:"" help:"Run a node of a cluster."`
	Init     initCmd     `cmd:"" help:"Make the home of a new node."`
	Files    filesCmd    `cmd:"" help:"Show what each node has of the synchronised files."`
	Ctl      ctlCmd      `cmd:"" help:"Ask a running node about its cluster: nodes, agents, health, what is wrong."`
	Doctor   doctorCmd   `cmd:"" help:"Examine a home and the node in it; say what to do about what is wrong."`
	Agent    agentCmd    `cmd:"" help:"Add, remove, list, import and export the keys of agents."`
	Enroll   enrollCmd   `cmd:"" help:"Ask a node for a key, as an agent does."`
	Agents   agentsCmd   `cmd:"" help:"Show the agents that a node knows: their states, nodes and groups."`
	Groups   groupsCmd   `cmd:"" help:"Show, make and remove the groups of agents."`
	DB       dbCmd       `cmd:"" name:"db" help:"Save, put back and check a node's database of agents."`
	Demo     demoCmd     `cmd:"" help:"Show a cluster at work on this machine."`
	Simulate simulateCmd `cmd:"" help:"Try a cluster with agents that do not exist."`
	Bench    benchCmd    `cmd:"" help:"Measure clusters on this machine."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

const about = "A cluster of security monitoring nodes that keeps its files in step, and speaks the cluster protocol of 4.7.5."

// Main runs the program that args names and returns its exit code.
func Main(args []string, s Streams) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	e := &env{ctx: ctx, out: s.Out, err: s.Err, args: args}
	if report := adoptDaemon(e); report != nil {
		defer report.close()
	}
	if filepath.Base(args[0]) == clusterdName {
		return e.finish(clusterdName, e.clusterd())
	}
	if filepath.Base(args[0]) == controlName {
		return e.finish(controlName, e.control(args[1:]))
	}
	if words := asControl(args); words != nil {
		return e.finish(controlName, e.control(words))
	}
	return e.finish("testudo", e.testudo())
}

func (e *env) testudo() error {
	var grammar root
	if len(e.args) < 2 {
		e.args = append(e.args, "--help")
	}
	run, err := e.parse(&grammar, kong.Name("testudo"), kong.Description(about))
	if err != nil || run == nil {
		return err
	}
	return usageOf(run, run.Run(e))
}

// usageOf says which command's help is meant where an error is about usage.
func usageOf(run *kong.Context, err error) error {
	usage, ok := errors.AsType[usageError](err)
	if !ok || run == nil || run.Selected() == nil {
		return err
	}
	usage.command = strings.TrimSpace(run.Selected().Path())
	return usage
}

// parse reads the arguments into a grammar. Both results are nil when help was
// asked for and given.
func (e *env) parse(grammar any, options ...kong.Option) (*kong.Context, error) {
	helped := false
	options = append(options,
		kong.Writers(e.out, e.err),
		kong.Exit(func(int) { helped = true }), // after --help; the parser goes on
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Bind(e),
	)
	parser, err := kong.New(grammar, options...)
	if err != nil {
		return nil, fmt.Errorf("grammar of the command line: %w", err)
	}
	run, err := parser.Parse(e.args[1:])
	if helped {
		return nil, nil
	}
	if err != nil {
		usage := usageError{text: err.Error()}
		if wrong, ok := errors.AsType[*kong.ParseError](err); ok {
			return nil, usageOf(wrong.Context, usage)
		}
		return nil, usage
	}
	return run, nil
}

// usageError is a command line that cannot be understood.
type usageError struct {
	text    string
	command string // whose help has more, such as "agent add"; "" for that of the program
}

func (u usageError) Error() string { return u.text }

// codeError ends the program with a code after all has been said.
type codeError int

func (c codeError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// finish says what went wrong, in one line, and gives the exit code.
func (e *env) finish(program string, err error) int {
	var usage usageError
	var code codeError
	var ended *signalError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		help := strings.TrimSpace(program + " " + usage.command)
		fmt.Fprintf(e.err, "%s: %s\nSee %s --help.\n", program, oneLine(usage.text), help)
		return exitUsage
	case errors.As(err, &code):
		return int(code)
	case errors.As(context.Cause(e.ctx), &ended) && errors.Is(err, context.Canceled):
		fmt.Fprintf(e.err, "%s: interrupted\n", program)
		return exitFailed
	}
	fmt.Fprintf(e.err, "%s: %s\n", program, oneLine(err.Error()))
	return exitFailed
}

// oneLine joins the lines of joined errors. They may hold what a node or an agent
// said.
func oneLine(text string) string {
	return printable(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}
