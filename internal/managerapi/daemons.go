package managerapi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// daemonNames are all daemons of an installation, in the order in which their
// states are told.
var daemonNames = []string{
	"wazuh-agentlessd", "wazuh-analysisd", "wazuh-authd", "wazuh-csyslogd", "wazuh-dbd", "wazuh-monitord", //nolint:misspell // its name
	"wazuh-execd", "wazuh-integratord", "wazuh-logcollector", "wazuh-maild", "wazuh-remoted", "wazuh-reportd",
	"wazuh-syscheckd", "wazuh-clusterd", "wazuh-modulesd", "wazuh-db", "wazuh-apid",
}

// States of daemons.
const (
	Running    = "running"
	Stopped    = "stopped"
	Failed     = "failed"
	Starting   = "starting"
	Restarting = "restarting"
)

const (
	runDir       = "var/run"
	restartMark  = ".restart"
	mostRunFiles = 10_000
)

// Daemons tells how the daemons of a home are, from the files that they leave in
// var/run (docs/nodefunctions.md §1). It implements dapi.Daemons.
type Daemons struct {
	Dir      string   // the home
	Embedded []string // daemons whose work this process does: they run
	Proc     string   // where the system tells of processes; empty: /proc
}

// State is the state of one daemon; Stopped where the files cannot be read.
func (d Daemons) State(name string) string {
	if slices.Contains(d.Embedded, name) {
		return Running
	}
	files, err := d.files()
	if err != nil {
		return Stopped
	}
	return d.state(name, files)
}

// Installed tells whether the home has the program of the daemon.
func (d Daemons) Installed(name string) bool {
	info, err := os.Stat(filepath.Join(d.Dir, "bin", name))
	return err == nil && info.Mode().IsRegular()
}

// All gives the states of all daemons. The error is fault.ProcessUnknown where
// the system does not tell of its processes.
func (d Daemons) All() (states []State, err error) {
	if _, err := os.Stat(d.proc()); err != nil {
		return nil, fault.Wrap(fault.ProcessUnknown, nil, err)
	}
	files, err := d.files()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range daemonNames {
		s := State{name, Running}
		if !slices.Contains(d.Embedded, name) {
			s.State = d.state(name, files)
		}
		states = append(states, s)
	}
	return states, nil
}

// State is a daemon and how it is.
type State struct{ Daemon, State string }

// files lists the names in var/run.
func (d Daemons) files() (map[string]bool, error) {
	dir, err := os.Open(filepath.Join(d.Dir, runDir))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(mostRunFiles)
	files := make(map[string]bool, len(names))
	for _, name := range names {
		files[name] = true
	}
	if len(files) > 0 {
		return files, nil
	}
	return files, ignoreEnd(err)
}

func (d Daemons) state(name string, files map[string]bool) string {
	switch {
	case files[name+".failed"]:
		return Failed
	case files[restartMark]:
		return Restarting
	case files[name+".start"]:
		return Starting
	}
	state := Stopped
	for file := range files {
		pid, ok := pidOf(file, name)
		if !ok {
			continue
		}
		if _, err := os.Stat(filepath.Join(d.proc(), strconv.Itoa(pid))); err == nil {
			return Running
		}
		state = Failed
	}
	return state
}

// pidOf reads the number from the name of a pid file of a daemon.
func pidOf(file, daemon string) (pid int, ok bool) {
	text, ok := strings.CutPrefix(file, daemon+"-")
	if !ok {
		return 0, false
	}
	if text, ok = strings.CutSuffix(text, ".pid"); !ok || !digits(text) {
		return 0, false
	}
	pid, err := strconv.Atoi(text)
	return pid, err == nil
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func (d Daemons) proc() string {
	if d.Proc != "" {
		return d.Proc
	}
	return "/proc"
}

func (a *API) status(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := a.specified("Processes status was successfully read", "Could not read basic information", "Could not read processes status")
	return a.about(c, "read", r, func() error {
		states, err := a.daemons.All()
		if err != nil {
			return err
		}
		var item result.Object
		for _, s := range states {
			if err := item.Set(s.Daemon, s.State); err != nil {
				return err
			}
		}
		return r.Add(item)
	})
}
