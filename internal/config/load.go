package config

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Where the files are, relative to the home.
const (
	ConfPath          = "etc/ossec.conf"
	SettingsPath      = "etc/testudo.yaml"
	OptionsPath       = "etc/internal_options.conf"
	LocalOptionsPath  = "etc/local_internal_options.conf"
	InstalledJSONPath = "framework/wazuh/core/cluster/cluster.json"
	OwnJSONPath       = "etc/cluster.json"
)

// LoadOptions says where to read.
type LoadOptions struct {
	Home     string // directory of the node
	ConfFile string // another file in the place of Home/etc/ossec.conf; empty = none
	// AgentDB and Enrolment are services.agentdb and services.enrolment where
	// testudo.yaml does not say: Embedded (also when empty) or External.
	AgentDB, Enrolment string
}

// Load reads all files of a home. It always gives a Config, in which what could
// not be read or made no sense has its default; whether a node may start with it
// is for HasErrors to say. A disabled cluster's section is not checked further.
//
// cluster.json is read in two places, one over the other: the installed one,
// whose list of directories is the whole list, and etc/cluster.json, which adds
// directories to it, changes them, or takes one away by setting it to null.
func Load(o LoadOptions) (*Config, []Problem) {
	c := Default(o.Home)
	in := func(name string) *report { return &report{file: filepath.Join(o.Home, name)} }
	conf := in(ConfPath)
	if o.ConfFile != "" {
		conf.file = o.ConfFile
	}
	installed, own := in(InstalledJSONPath), in(OwnJSONPath)
	shipped, local := in(OptionsPath), in(LocalOptionsPath)
	settings := in(SettingsPath)

	if o.AgentDB == External {
		c.Testudo.Services.AgentDB, c.sources[agentDBService] = External, AsStarted
	}
	if o.Enrolment == External {
		c.Testudo.Services.Enrolment, c.sources[enrolmentService] = External, AsStarted
	}
	settings.readSettings(c) // first: it says which other settings are ours to read
	installed.readClusterJSON(c, false)
	own.readClusterJSON(c, true)
	if lines := conf.readClusterFile(c); lines != nil {
		conf.check(c, lines)
	}
	c.readDebug(shipped, local)
	c.readDaemonOptions(shipped, local)

	return c, slices.Concat(installed.problems, own.problems, c.clusterRelations(), conf.problems,
		shipped.problems, local.problems, settings.problems, c.settingsRelations(), c.authRelations())
}

// check judges the section that was read, unless it is disabled.
func (r *report) check(c *Config, lines map[string]int) {
	ch := checker{report: r, cluster: &c.Cluster, lines: lines}
	ch.deprecatedRole()
	if !c.Cluster.Disabled {
		ch.all()
	}
}

// CheckConf says what is wrong with the text of an ossec.conf, before it is
// written. file is the name that problems are given.
func CheckConf(file string, text io.Reader) (Cluster, []Problem) {
	c := Default("")
	r := &report{file: file}
	if lines := r.readCluster(c, text); lines != nil {
		r.check(c, lines)
	}
	return c.Cluster, append(r.problems, c.authRelations()...)
}

// CheckSettings says what is wrong with the text of a testudo.yaml, before it
// is written. file is the name that problems are given.
func CheckSettings(file string, text []byte) (Settings, []Problem) {
	c := Default("")
	r := &report{file: file}
	r.settings(c, text)
	return c.Testudo, append(r.problems, c.settingsRelations()...)
}

// Error joins the problems of severity Error, one a line; nil when there are
// none.
func Error(problems []Problem) error {
	var lines []string
	for _, p := range problems {
		if p.Severity == SeverityError {
			lines = append(lines, p.String())
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("%w:\n%s", ErrInvalid, strings.Join(lines, "\n"))
}

// ErrInvalid is returned when a configuration has problems with which a node
// must not start.
var ErrInvalid = errors.New("configuration is not valid")
