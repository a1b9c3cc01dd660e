// Package ctl asks a running node about its cluster and writes what it hears,
// for the verbs `testudo ctl` and for the program cluster_control of the
// original, whose columns and texts are in classic.go (docs/ctl.md).
package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"testudo/internal/fault"
	"testudo/internal/localsock"
	"testudo/internal/nodeinfo"
	"testudo/internal/result"
	"testudo/internal/session"
	"testudo/internal/why"
)

// socket is where a node answers, relative to its home.
const socket = "queue/cluster/c-internal.sock"

// Client asks the node of a home. Each question has a connection of its own.
type Client struct {
	path    string
	options localsock.ClientOptions
	// Trace, when set, is told of each question.
	Trace func(command string, argument []byte)
}

// New makes a client of the node in a home.
func New(home string) *Client { return &Client{path: filepath.Join(home, socket)} }

var (
	// ErrSilent says that the node itself takes questions and does not answer, where
	// fault 3020 alone may be that of another node behind it.
	ErrSilent = errors.New("the node takes questions and does not answer")
	// ErrClosed says that the node closed the connection without an answer.
	ErrClosed = errors.New("the node closes the connection without an answer")
)

// ownFault is a fault of this end, with what it means.
type ownFault struct {
	fault *fault.Error
	means error
}

func (f ownFault) Error() string { return f.fault.Error() }

// Unwrap gives both.
func (f ownFault) Unwrap() []error { return []error{f.means, f.fault} }

// ask gives the answer to a command. The error has a *fault.Error in it, also when
// nobody is there (3012); of a worker without a master it is 3023. It is ErrSilent
// or ErrClosed too when the node does not answer, fs.ErrPermission when it may not
// be asked.
func (c *Client) ask(ctx context.Context, command string, argument []byte) ([]byte, error) {
	if c.Trace != nil {
		c.Trace(command, argument)
	}
	answer, err := localsock.Ask(ctx, c.path, c.options, command, argument)
	if err != nil {
		f, ok := errors.AsType[*fault.Error](err)
		_, remote := errors.AsType[*session.RemoteError](err)
		switch {
		case !ok:
			return nil, err
		case f.Code == fault.RequestTimeout && !remote:
			return nil, ownFault{f, ErrSilent}
		case !remote && (errors.Is(f, io.EOF) || errors.Is(f, syscall.ECONNRESET) || errors.Is(f, syscall.EPIPE)):
			return nil, ownFault{f, ErrClosed}
		}
		return nil, f
	}
	return answer, raised(answer)
}

// raised gives the error that an answer may be: a late one comes in the place
// of the result.
func raised(answer []byte) error {
	const head = `{"__wazuh_exception__"`
	if !strings.HasPrefix(string(answer[:min(len(answer), len(head))]), head) {
		return nil
	}
	if e := fault.Parse(answer); e.Code != fault.RemoteText {
		return e
	}
	return nil
}

// Running says whether somebody answers: nil, or fault 3012.
func (c *Client) Running(ctx context.Context) error {
	conn, err := localsock.Dial(ctx, c.path, c.options)
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("local socket: %w", err)
	}
	return nil
}

// Config is what a running node says of its own configuration.
type Config struct {
	Cluster  string `json:"name"`
	Node     string `json:"node_name"`
	Type     string `json:"node_type"`
	Disabled bool   `json:"disabled"`
}

// Config asks for the configuration. The key that comes with it is not kept.
func (c *Client) Config(ctx context.Context) (Config, error) {
	answer, err := c.ask(ctx, "get_config", nil)
	if err != nil {
		return Config{}, err
	}
	var cfg Config
	if err := json.Unmarshal(answer, &cfg); err != nil {
		return Config{}, errors.New("read the node's configuration: no JSON object of the cluster section")
	}
	return cfg, nil
}

// Nodes lists the nodes of these names, or all when names is nil.
func (c *Client) Nodes(ctx context.Context, names []string) ([]nodeinfo.Node, error) {
	argument, err := nodeinfo.NodeFilter{Names: names}.JSON()
	if err != nil {
		return nil, fmt.Errorf("names of nodes: %w", err)
	}
	answer, err := c.ask(ctx, "get_nodes", argument)
	if err != nil {
		return nil, err
	}
	nodes, _, err := nodeinfo.ParseNodes(answer)
	return nodes, err
}

// Health asks how the nodes of these names are, or all when names is nil.
func (c *Client) Health(ctx context.Context, names []string) (nodeinfo.Health, error) {
	argument, err := json.Marshal(names)
	if err != nil {
		return nodeinfo.Health{}, fmt.Errorf("names of nodes: %w", err)
	}
	answer, err := c.ask(ctx, "get_health", argument)
	if err != nil {
		return nodeinfo.Health{}, err
	}
	return nodeinfo.ParseHealth(answer)
}

// Why asks how a node is, or all nodes when name is empty. A node of 4.7.5 can
// only tell of health.
func (c *Client) Why(ctx context.Context, name string) ([]why.Report, error) {
	answer, err := c.ask(ctx, why.Command, []byte(name))
	if err == nil {
		return why.Parse(answer)
	}
	if !why.IsUnknown(err) {
		return nil, err
	}
	h, err := c.Health(ctx, nil)
	if err != nil {
		return nil, err
	}
	return why.FromHealth(name, h, time.Now()), nil
}

// Agent is what the overview says of an agent; empty texts are not known.
type Agent struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	IP      string `json:"ip,omitempty"`
	Status  string `json:"status,omitempty"`
	Version string `json:"version,omitempty"`
	Node    string `json:"node_name,omitempty"`
}

// Agents lists the agents that report to these nodes and are in these states;
// nil stands for any.
func (c *Client) Agents(ctx context.Context, nodes, states []string) ([]Agent, error) {
	request, err := overviewRequest(nodes, states)
	if err != nil {
		return nil, err
	}
	answer, err := c.ask(ctx, "dapi", request)
	if err != nil {
		return nil, err
	}
	return parseOverview(answer)
}

// The request for the overview, as the original's program makes it.
type (
	overview struct {
		Function result.Callable `json:"f"`
		Args     overviewArgs    `json:"f_kwargs"`
		Cluster  bool            `json:"from_cluster"`
		Complete bool            `json:"wait_for_complete"`
	}
	overviewArgs struct {
		Filters overviewFilters `json:"filters"`
		Limit   *int            `json:"limit"`
		Select  []string        `json:"select"`
	}
	overviewFilters struct {
		Status string `json:"status"`
		Node   string `json:"node_name"`
	}
)

func overviewRequest(nodes, states []string) ([]byte, error) {
	orAll := func(list []string) string {
		if list == nil {
			return "all"
		}
		return strings.Join(list, ",")
	}
	request, err := json.Marshal(overview{
		Function: result.Callable{Name: "get_agents_overview", Module: "wazuh.core.agent", Qualname: "Agent.get_agents_overview", Type: "function"},
		Args: overviewArgs{
			Filters: overviewFilters{Status: orAll(states), Node: orAll(nodes)},
			Select:  []string{"id", "ip", "name", "status", "node_name", "version"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the agents: %w", err)
	}
	return request, nil
}

// parseOverview reads the answer: a result whose body holds a list of agents.
func parseOverview(answer []byte) ([]Agent, error) {
	outcome, err := result.Decode(answer, result.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read the agents: %w", err)
	}
	if outcome.Err != nil {
		return nil, outcome.Err
	}
	plain, ok := outcome.Result.(*result.Plain)
	if !ok {
		return nil, errors.New("read the agents: a result of another kind")
	}
	var body struct {
		Items []Agent `json:"items"`
	}
	if err := json.Unmarshal(plain.Body, &body); err != nil {
		return nil, fmt.Errorf("read the agents: %w", err)
	}
	return body.Items, nil
}
