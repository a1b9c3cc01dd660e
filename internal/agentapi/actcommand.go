package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// commandsFile lists the commands that agents have, a line each: name, program,
// timeout.
const commandsFile = sharedDir + "/" + rulesFile

// maxCommands bounds the bytes that are read of commandsFile.
const maxCommands = 1 << 20

type commandArgs struct {
	Agents    list            `json:"agent_list"`
	Command   string          `json:"command"`
	Custom    bool            `json:"custom"` // a program of the agent that commandsFile does not list
	Arguments []string        `json:"arguments"`
	Alert     json.RawMessage `json:"alert"`
}

// runCommand has agents run a command of their active response.
func (x *Changes) runCommand(ctx context.Context, c *dapi.Call, a commandArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg:  "AR command was sent to all agents",
		SomeMsg: "AR command was not sent to some agents",
		NoneMsg: "AR command was not sent to any agent",
	}
	s, err := x.scope(ctx, c, "active-response:command", agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	if len(s.ids) == 0 {
		s.finish(r)
		return r, nil
	}
	inJSON, refusal := commandText(a, c.Node)
	var malformed *dapi.ArgumentError
	if errors.As(refusal, &malformed) {
		return nil, refusal
	}
	found, err := x.reportingHere(ctx, r, s)
	if err != nil {
		return nil, err
	}
	err = x.tell(ctx, r, active(r, found), func(to state) (string, error) {
		text, err := inJSON, refusal
		if err == nil && before(to.version, jsonSince) {
			text, err = x.oldCommandText(a)
		}
		return toAgent + "NNS " + to.id.String() + " " + text, err
	})
	if err != nil {
		return nil, err
	}
	s.finish(r, fault.UnknownAgent, fault.ManagerAgent)
	return r, nil
}

// commandText is the command as agents read it: one line of JSON.
func commandText(a commandArgs, node string) (string, error) {
	if err := checkCommand(a); err != nil {
		return "", err
	}
	alert := bytes.NewBufferString("")
	switch alerted := bytes.TrimSpace(a.Alert); {
	case len(alerted) == 0 || string(alerted) == "null":
		alert.WriteString("{}")
	case alerted[0] != '{' || json.Compact(alert, alerted) != nil:
		return "", &dapi.ArgumentError{Function: "run_command", Reason: "argument \"alert\" is no object"}
	}
	text := fault.AppendText([]byte(`{"version": 1, "origin": {"name": `), node)
	text = append(text, `, "module": "API"}, "command": `...)
	text = fault.AppendText(text, a.Command)
	text = append(text, `, "parameters": {"extra_args": [`...)
	for i, argument := range a.Arguments {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = fault.AppendText(text, argument)
	}
	text = append(text, `], "alert": `...)
	text = append(text, alert.Bytes()...)
	return string(append(text, "}}"...)), nil
}

// oldCommandText is the command for agents before jsonSince: words, the first of
// them a command that is listed.
func (x *Changes) oldCommandText(a commandArgs) (string, error) {
	listed, err := x.commands()
	if err != nil {
		return "", err
	}
	if !a.Custom && !slices.Contains(listed, a.Command) {
		return "", fault.New(fault.CommandUnknown, nil)
	}
	arguments := "- -"
	if len(a.Arguments) > 0 {
		arguments = strings.Join(a.Arguments, " ")
	}
	if strings.ContainsFunc(arguments, unicode.IsControl) {
		return "", fault.New(fault.QueueMessage, "control characters in an argument")
	}
	return a.Command + " " + arguments, nil
}

// checkCommand makes sure that a command is a name below the directory of the
// agent's commands.
func checkCommand(a commandArgs) error {
	if a.Command == "" {
		return fault.New(fault.CommandMissing, nil)
	}
	name, _ := strings.CutPrefix(a.Command, "!")
	if !fs.ValidPath(name) || name == "." || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return fault.New(fault.CommandUnknown, nil)
	}
	return nil
}

func (x *Changes) commands() (names []string, err error) {
	file, err := x.cfg.Home.Open(commandsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.FileUnreadable, commandsFile, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxCommands))
	if err != nil {
		return nil, fault.Wrap(fault.FileUnreadable, commandsFile, err)
	}
	for line := range strings.Lines(string(content)) {
		if name, _, ok := strings.Cut(line, " "); ok {
			names = append(names, name)
		}
	}
	return names, nil
}
