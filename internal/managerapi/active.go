package managerapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// component is a part of an installation that tells its active configuration.
type component struct {
	name   string
	socket string
	json   bool // the daemon takes requests in JSON, else in text
}

// components are sorted by name: error 1101 lists them.
var components = []component{
	{"agent", analysisSock, true},
	{"agentless", sockets + "agentless", false},
	{"analysis", analysisSock, true},
	{"auth", sockets + "auth", false},
	{"com", comSocket, false},
	{"csyslog", sockets + "csyslog", false},
	{"integrator", sockets + "integrator", false},
	{"logcollector", sockets + "logcollector", false},
	{"mail", sockets + "mail", false},
	{"monitor", sockets + "monitor", false},
	{"request", remoteSocket, true},
	{"syscheck", sockets + "syscheck", false},
	{"wazuh-db", databaseSock, true},
	{"wmodules", sockets + "wmodules", false},
}

const (
	passwordFile = "etc/authd.pass" //nolint:gosec // where it is, not what it is
	mostPassword = 4096
	mostName     = 256 // of a configuration
)

type activeArgs struct {
	Component string `json:"component"`
	Config    string `json:"config"`
}

func (a *API) activeConf(ctx context.Context, c *dapi.Call, args activeArgs) (result.Result, error) {
	r := a.specified("Active configuration was successfully read", "Could not read active configuration",
		"Could not read active configuration")
	return a.about(c, "read", r, func() error {
		conf, err := a.active(ctx, args)
		switch {
		case err != nil:
			return a.failHere(c, r, err)
		case len(conf) == 0:
			return nil
		}
		return r.Add(conf)
	})
}

// findComponent finds the part that a request names. Errors:
// fault.StatsParameters, UnknownComponent, ConfigUnknown.
func findComponent(args activeArgs) (component, error) {
	if args.Component == "" || args.Config == "" {
		return component{}, fault.New(fault.StatsParameters, nil)
	}
	names := make([]string, len(components))
	for i, part := range components {
		if part.name != args.Component {
			names[i] = part.name
			continue
		}
		if len(args.Config) > mostName || strings.ContainsFunc(args.Config, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return part, unknownConfig(fault.ConfigUnknown, args)
		}
		return part, nil
	}
	return component{}, fault.New(fault.UnknownComponent, "Valid components: "+strings.Join(names, ", "))
}

func unknownConfig(code fault.Code, args activeArgs) error {
	return fault.New(code, args.Component+":"+args.Config)
}

// active asks a daemon of this node for its configuration. Errors of the user:
// those of findComponent, fault.SocketRefused, ComponentSilent, ConfigUnknown.
func (a *API) active(ctx context.Context, args activeArgs) (result.Object, error) {
	part, err := findComponent(args)
	if err != nil {
		return nil, err
	}
	text := []byte("getconfig " + args.Config)
	if part.json {
		if text, err = newMessage("getconfig", map[string]any{"section": args.Config}); err != nil {
			return nil, err
		}
	}
	answer, err := a.ask(ctx, part.socket, text)
	switch {
	case errors.Is(err, errNoSocket):
		return nil, absent(part.name)
	case err != nil:
		return nil, err
	case part.json:
		return a.fromJSON(args, answer)
	}
	return a.fromText(args, answer)
}

// absent is the error of a component whose daemon is not there.
func absent(component string) *fault.Error {
	return &fault.Error{
		Code: fault.SocketRefused, Class: fault.ClassBadRequest,
		Extra: "Please verify that the component '" + component + "' is properly configured",
	}
}

func (a *API) fromJSON(args activeArgs, answer []byte) (result.Object, error) {
	v, err := readAnswer(answer)
	if err != nil {
		return nil, err
	}
	if *v.Error != 0 {
		return nil, unknownConfig(noConfig(cmp.Or(string(v.Data), v.Message)), args)
	}
	return a.withPassword(v.Data)
}

func (a *API) fromText(args activeArgs, answer []byte) (result.Object, error) {
	word, rest, err := spoken(answer)
	if err != nil {
		return nil, err
	}
	if word != "ok" {
		return nil, unknownConfig(noConfig(string(rest)), args)
	}
	return a.withPassword(rest)
}

// noConfig is the code of what a daemon says where it has no configuration.
func noConfig(says string) fault.Code {
	if strings.Contains(says, "No such file or directory") || strings.Contains(says, "Cannot send request") {
		return fault.ComponentSilent
	}
	return fault.ConfigUnknown
}

// withPassword reads a configuration and adds the password of registration to
// that of the daemon that uses it, as the original does.
func (a *API) withPassword(data []byte) (result.Object, error) {
	conf, err := readConfig(data)
	if err != nil {
		return nil, err
	}
	var auth struct {
		UsePassword string `json:"use_password"`
	}
	if err := json.Unmarshal(conf.Get("auth"), &auth); err != nil || auth.UsePassword != "yes" {
		return conf, nil //nolint:nilerr // what is no section of that daemon needs no password
	}
	password, err := readFile(a.path(passwordFile), mostPassword)
	if err != nil {
		return conf, nil //nolint:nilerr // without the file there is none to show
	}
	return conf, conf.Set("authd.pass", string(bytes.TrimRight(password, " \t\r\n")))
}

// readConfig reads the object that a configuration is.
func readConfig(data []byte) (result.Object, error) {
	conf, err := result.ReadObject(data, result.Limits{Bytes: mostAnswer})
	if err != nil {
		return nil, errAnswer
	}
	return conf, nil
}

type agentConfigArgs struct {
	Agents []string `json:"agent_list"`
	activeArgs
}

// agentConfig asks an agent for its active configuration.
func (a *API) agentConfig(ctx context.Context, c *dapi.Call, args agentConfigArgs) (result.Result, error) {
	named := args.Agents
	if len(named) == 0 {
		return nil, &dapi.ArgumentError{Function: moduleAgent + ".get_agent_config", Reason: "no agent is named"}
	}
	scope, err := a.agentsNamed(ctx, c, named[:1])
	if err != nil {
		return nil, err
	}
	if len(scope.found) == 0 {
		return nil, fault.New(fault.UnknownAgent, nil)
	}
	is := scope.found[0]
	if is.status != "active" {
		return nil, fault.New(fault.ActiveOnly, nil)
	}
	if !is.atLeast(3, 7, 0) {
		return nil, &fault.Error{Code: fault.AgentTooOld, Class: fault.ClassInternal, Extra: "Minimum required version is Wazuh v3.7.0"}
	}
	conf, err := a.activeOf(ctx, is.id, args.activeArgs)
	if err != nil {
		return nil, err
	}
	return result.NewPlain(map[string]result.Object{"data": append(result.Object{}, conf...)})
}

// activeOf asks an agent through the daemon that agents are connected to.
func (a *API) activeOf(ctx context.Context, id agent.ID, args activeArgs) (result.Object, error) {
	if id == 0 {
		return a.active(ctx, args)
	}
	if _, err := findComponent(args); err != nil {
		return nil, err
	}
	answer, err := a.ask(ctx, remoteSocket, []byte(id.String()+" "+args.Component+" getconfig "+args.Config))
	if errors.Is(err, errNoSocket) {
		return nil, &fault.Error{Code: fault.SocketRefused, Class: fault.ClassInternal, Extra: a.path(remoteSocket)}
	} else if err != nil {
		return nil, err
	}
	return a.fromText(args, answer)
}
