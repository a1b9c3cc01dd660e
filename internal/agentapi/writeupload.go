package agentapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"testudo/internal/atomicfile"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/ossecxml"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

const (
	confRoot = "agent_config"
	confMode = 0o660

	// checker is the original's program that judges an agent.conf. A home without
	// it is fine.
	checker = "bin/verify-agent-conf"
	// checkTime bounds the run of the checker, checkText what is kept of its words.
	checkTime = 20 * time.Second
	checkText = 4 << 10

	// savedDir keeps the agent.conf that was replaced last, a directory for each
	// group.
	savedDir = "backup/shared"

	// maxConf is the size of an agent.conf, in bytes.
	maxConf = 10 << 20
)

type uploadArgs struct {
	Groups list    `json:"group_list" required:"true"`
	Data   string  `json:"file_data" required:"true"`
	Name   *string `json:"file_name"`
}

// uploadGroupFile replaces the agent.conf of a group. What was there is kept
// under savedDir; the file is replaced in one step or not at all.
func (x *Changes) uploadGroupFile(ctx context.Context, c *dapi.Call, a uploadArgs) (result.Result, error) {
	group, err := a.Groups.one("upload_group_file", "group_list")
	if err != nil {
		return nil, err
	}
	if err := onMaster(c); err != nil {
		return nil, err
	}
	if !c.Permissions.Allows("group:update_config", groupID+":"+group) {
		return nil, rbac.Denied(groupID, group)
	}
	if !x.isGroup(group) {
		return nil, fault.New(fault.GroupAbsent, group)
	}
	if a.Name != nil && *a.Name != confFile {
		return nil, fault.New(fault.AgentFileOnly, nil)
	}
	if err := checkConf(a.Data); err != nil {
		return nil, err
	}
	if err := x.runChecker(ctx, a.Data); err != nil {
		return nil, err
	}
	done, err := x.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := x.replaceConf(group, a.Data); err != nil {
		return nil, err
	}
	return message("Agent configuration was successfully updated")
}

// checkConf makes sure that agents can read the text: XML of their dialect, all
// roots of which are configurations of agents.
func checkConf(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fault.New(fault.EmptyFile, nil)
	case len(text) > maxConf:
		return fault.New(fault.InvalidXML, fmt.Sprintf("longer than %d bytes", maxConf))
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return fault.New(fault.InvalidXML, "not UTF-8 text")
	}
	roots, err := ossecxml.Parse(strings.NewReader(text), ossecxml.Limits{})
	if err != nil {
		return fault.Wrap(fault.InvalidXML, err.Error(), err)
	}
	if len(roots) == 0 {
		return fault.New(fault.InvalidXML, "no element")
	}
	for _, root := range roots {
		if root.Name != confRoot {
			return fault.New(fault.InvalidMeaning, fmt.Sprintf("<%.64s> in line %d, where <%s> is expected", root.Name, root.Line, confRoot))
		}
	}
	return nil
}

// replaceConf writes the file, after it has saved the one that is there.
func (x *Changes) replaceConf(group, text string) error {
	name := path.Join(sharedDir, group, confFile)
	saved := path.Join(savedDir, group)
	o := atomicfile.Options{Mode: confMode, UID: x.cfg.Owner.UID, GID: x.cfg.Owner.GID, Sync: true}
	old, err := x.regular(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.BackupFailed, name, err)
	}
	if err == nil && string(old) == text {
		return nil // agents need not fetch it again
	}
	if err == nil {
		if err := x.cfg.Home.MkdirAll(saved, 0o770); err != nil {
			return fault.Wrap(fault.BackupFailed, saved, err)
		}
		if err := atomicfile.Write(x.cfg.Home, path.Join(saved, confFile), old, o); err != nil {
			return fault.Wrap(fault.BackupFailed, saved, err)
		}
	}
	if err := atomicfile.Write(x.cfg.Home, name, []byte(text), o); err != nil {
		if !x.isGroup(group) {
			return fault.Wrap(fault.GroupAbsent, group, err)
		}
		return fault.Wrap(fault.FileUnreadable, name, err)
	}
	return nil
}

// regular reads a file that is no link and of a bearable size.
func (x *Changes) regular(name string) ([]byte, error) {
	info, err := x.cfg.Home.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 2*maxConf {
		return nil, errors.New("not a file of that size")
	}
	return x.cfg.Home.ReadFile(name)
}

// runChecker has the original's checker judge the text, where it is installed.
func (x *Changes) runChecker(ctx context.Context, text string) error {
	program := filepath.Join(x.cfg.Dir, checker)
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := os.CreateTemp(filepath.Join(x.cfg.Dir, "tmp"), "agent-conf-*")
	if err != nil {
		return fault.Wrap(fault.TemporaryUnusable, "tmp", err)
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fault.Wrap(fault.TemporaryUnusable, "tmp", err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	words := &head{}
	run := exec.CommandContext(ctx, program, "-f", file.Name()) //nolint:gosec // a program of the home
	run.Dir, run.Stdout, run.Stderr, run.WaitDelay = x.cfg.Dir, words, words, time.Second
	var exit *exec.ExitError
	switch err := run.Run(); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Wrap(fault.CheckerFailed, "it took too long", err)
	case errors.As(err, &exit) && len(words.text) > 0:
		return fault.Wrap(fault.InvalidMeaning, complaints(string(words.text), file.Name()), err)
	case errors.As(err, &exit):
		return fault.Wrap(fault.CheckerFailed, err.Error(), err)
	default:
		return fault.Wrap(fault.CheckerAbsent, nil, err)
	}
}

// head keeps the beginning of what is written.
type head struct{ text []byte }

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), checkText-len(h.text))]...)
	return len(p), nil
}

// complaints are the different lines of the checker, without the name of our
// temporary file.
func complaints(text, file string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.ReplaceAll(line, file, confFile))
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.ToValidUTF8(strings.Join(lines, ", "), "?")
}
