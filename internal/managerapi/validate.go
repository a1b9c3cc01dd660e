package managerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"testudo/internal/config"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// executorDaemon checks configurations and restarts nodes where it is installed.
const executorDaemon = "wazuh-execd"

const mostFindings = 100

func (a *API) validation(ctx context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := &result.Affected{
		SortFields: []string{"name"}, SortCasting: []string{"str"},
		AllMsg:  "Validation was successfully checked in all nodes",
		SomeMsg: "Could not check validation in some nodes",
		NoneMsg: "Could not check validation in any node",
	}
	if a.cfg.Alone {
		r.AllMsg, r.NoneMsg = "Validation was successfully checked", "Could not check validation"
	}
	return a.about(c, "read", r, func() error {
		if err := a.validate(ctx); err != nil {
			return a.failHere(c, r, err)
		}
		item := result.Object{}
		if err := errors.Join(item.Set("name", a.name(c)), item.Set("status", "OK")); err != nil {
			return err
		}
		return r.Add(item)
	})
}

// executor tells whether the daemon that checks configurations is here: it is
// installed, or answers.
func (a *API) executor() bool {
	return a.daemons.Installed(executorDaemon) || present(a.path(comSocket))
}

// validate has the configuration of this node checked: by the daemon of the
// installation, or where there is none by ourselves, who know our own part of it.
// Errors: fault.ValidationFound (the user's), ExecQueueMissing, SocketMissing,
// SocketTalk, BadAnswer.
func (a *API) validate(ctx context.Context) error {
	if !a.executor() {
		text, err := a.confText()
		if err != nil {
			return err
		}
		return checkOwn(text)
	}
	answer, err := a.ask(ctx, comSocket, []byte("check-manager-configuration"))
	switch {
	case errors.Is(err, errNoSocket):
		return fault.New(fault.ExecQueueMissing, nil)
	case fault.Has(err, fault.SocketRefused):
		return &fault.Error{
			Code: fault.SocketMissing, Class: fault.ClassInternal,
			Extra: "Socket: WAZUH_PATH/" + comSocket + ". Error " + fault.From(err).Message(), Err: err,
		}
	case err != nil:
		return err
	}
	return verdict(answer)
}

// verdict reads the answer of the daemon that checks.
func verdict(answer []byte) error {
	var v struct {
		Error   json.RawMessage `json:"error"`
		Message *string         `json:"message"`
	}
	if err := json.Unmarshal(answer, &v); err != nil || v.Error == nil {
		return fault.Wrap(fault.BadAnswer, "the answer is not understood", err)
	}
	if string(v.Error) == "0" {
		return nil
	}
	if v.Message == nil {
		return fault.New(fault.BadAnswer, "the answer has no message")
	}
	return fault.New(fault.ValidationFound, strings.Join(findings(*v.Message), ", "))
}

var findingLine = regexp.MustCompile(`^.*(?:ERROR|CRITICAL): (.*)$`)

// findings are what the lines of a log say behind their level, each once.
func findings(lines string) (list []string) {
	for line := range strings.SplitSeq(lines, "\n") {
		parts := findingLine.FindStringSubmatch(strings.TrimSuffix(line, "\r"))
		if parts == nil || slices.Contains(list, parts[1]) {
			continue
		}
		if len(list) == mostFindings {
			return append(list, "and more")
		}
		list = append(list, parts[1])
	}
	return list
}

// checkOwn checks what this node itself needs of a configuration. The error is
// fault.ValidationFound.
func checkOwn(text []byte) error {
	_, problems := config.CheckConf(config.ConfPath, bytes.NewReader(text))
	var list []string
	for _, p := range problems {
		if p.Severity == config.SeverityError && !slices.Contains(list, p.Text) && len(list) < mostFindings {
			list = append(list, p.Text)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fault.New(fault.ValidationFound, strings.Join(list, ", "))
}
