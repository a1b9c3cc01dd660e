package cli

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"testudo/internal/buildinfo"
	"testudo/internal/config"
	"testudo/internal/home"
)

// clusterdName is the name under which we are the original's daemon: its flags,
// their meaning, its exit codes (docs/configuration.md §4).
const clusterdName = home.Daemon

// clusterdCmd is its grammar.
type clusterdCmd struct {
	Foreground bool   `short:"f" help:"Run in the foreground and log to standard error, too."`
	Debug      int    `short:"d" type:"counter" help:"Log more; twice, even more."`
	Version    bool   `short:"V" help:"Print the version."`
	Root       bool   `short:"r" help:"Do not become the user wazuh."`
	Test       bool   `short:"t" help:"Check the configuration."`
	Conf       string `short:"c" placeholder:"FILE" help:"Read this file in the place of etc/ossec.conf."`
	SSL        bool   `name:"ssl" hidden:""`
}

// clusterd is the whole of the original's program.
func (e *env) clusterd() error {
	var c clusterdCmd
	run, err := e.parse(&c, kong.Name(clusterdName), kong.Description("The cluster daemon of a node."))
	switch {
	case err != nil || run == nil:
		return err
	case c.SSL:
		return usageError{text: "there is no TLS on the cluster's port here (--ssl); all traffic is encrypted with the cluster's key, and a tunnel can carry it"}
	case c.Version:
		_, err := fmt.Fprintf(e.out, "%s (Testudo) %s\nCluster protocol %s\nBy the authors of Testudo\nApache License 2.0\n",
			clusterdName, buildinfo.Version(), config.Default("").Testudo.Version)
		return err
	}
	return e.runClusterd(c)
}

func (e *env) runClusterd(c clusterdCmd) error {
	dir, err := homeFlag{}.locate(c.Conf)
	if err != nil {
		return err
	}
	conf, err := absoluteOr(c.Conf)
	if err != nil {
		return err
	}
	var told []config.Problem
	if begins := c.Foreground || e.daemon != nil; begins && !c.Test && conf == "" {
		if told, err = endTrial(dir); err != nil {
			return err
		}
	}
	// Where this program takes the place of the original's, the other daemons,
	// among them that of the agent database, are usually there.
	cfg, problems := config.Load(config.LoadOptions{Home: dir, ConfFile: conf, AgentDB: config.External, Enrolment: config.External})
	r := &runner{
		env: e, cfg: cfg, problems: slices.Concat(told, problems), debug: c.Debug, stayRoot: c.Root, original: true, stderr: c.Foreground,
	}
	switch {
	case config.HasErrors(problems):
		return r.refuse()
	case cfg.Cluster.Disabled:
		return nil
	case c.Test:
		return r.tellProblems()
	case !c.Foreground && e.daemon == nil:
		return e.becomeDaemon()
	case c.Foreground:
		fmt.Fprintf(e.out, "%s runs in the foreground (pid: %d)\n", clusterdName, os.Getpid())
	}
	err = r.run()
	if s := e.signal(); s == syscall.SIGTERM && err == nil {
		return endBySignal(s)
	}
	return err
}
