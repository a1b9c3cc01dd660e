package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fleet"
	"testudo/internal/localsock"
	"testudo/internal/result"
)

// Call is a request made on one node for an agent of another.
type Call struct {
	Agent     string  `json:"agent"`
	Function  string  `json:"function"`
	Delivered float64 `json:"delivered_ms"` // from the question, until the agent's message was at its node
	Answered  float64 `json:"answered_ms"`  // until the answer was there
	Path      []Hop   `json:"path"`         // the nodes in the order in which they were asked
}

// Hop is one node on the way of a call.
type Hop struct {
	Node string  `json:"node"`
	Took float64 `json:"ms"`     // until it had the answer
	Own  float64 `json:"own_ms"` // without the time in which it waited for the next
}

const (
	localSocket = "queue/cluster/c-internal.sock" // where a node's programs ask it
	toAgents    = "queue/alerts/ar"               // where it leaves messages for its agents

	module, function = "wazuh.agent", "restart_agents"
)

// call has a program ask the first worker to restart an agent of the last one.
func (s *show) call(ctx context.Context) error {
	workers := s.fleet.Workers()
	asked, knows := workers[0], workers[len(workers)-1]
	ids := s.agents.Agents(knows.Name)
	if len(ids) == 0 {
		return fmt.Errorf("no agent reports to %s", knows.Name)
	}
	c := &Call{Agent: ids[0].String(), Function: module + "." + function}
	s.out.Linef("A program on %s has agent %s restarted, which reports to %s.", asked.Name, c.Agent, knows.Name)
	messages, err := listenFor(ctx, knows)
	if err != nil {
		return err
	}
	defer messages.Close()
	began := time.Now()
	answer, err := localsock.Ask(ctx, filepath.Join(asked.Home, localSocket), localsock.ClientOptions{}, "dapi", restart(c.Agent))
	c.Answered = milliseconds(time.Since(began))
	if err != nil {
		return fmt.Errorf("ask %s: %w", asked.Name, err)
	}
	if err := restarted(answer, c.Agent); err != nil {
		return err
	}
	arrived, err := messages.next(c.Agent)
	if err != nil {
		return fmt.Errorf("the message for agent %s at %s: %w", c.Agent, knows.Name, err)
	}
	c.Delivered = milliseconds(arrived.Sub(began))
	if c.Path, err = s.path(ctx, asked, knows, int64(len(answer))); err != nil {
		return err
	}
	s.result.Call = c
	s.showCall(c)
	return nil
}

// restart is the request, as an API makes it.
func restart(agent string) []byte {
	return fmt.Appendf(nil, `{"f": {"__callable__": {"__name__": %[1]q, "__module__": %[2]q, "__qualname__": %[1]q, "__type__": "function"}},`+
		`"f_kwargs": {"agent_list": [%[3]q]}, "request_type": "distributed_master"}`, function, module, agent)
}

// restarted checks that the answer says so of the agent.
func restarted(answer []byte, agent string) error {
	o, err := result.Decode(answer, result.Limits{})
	if err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	affected, ok := o.Result.(*result.Affected)
	if !ok || len(affected.Items) != 1 || string(affected.Items[0]) != fmt.Sprintf("%q", agent) {
		return fmt.Errorf("the answer is not that agent %s was restarted: %.200s", agent, answer)
	}
	return nil
}

// messages are those for the agents of a node. The show takes them in the place
// of the program that agents are connected to.
type messages struct {
	conn  *net.UnixConn
	first chan message
}

type message struct {
	text string
	at   time.Time
	err  error
}

// listenFor takes the first message that comes, until ctx ends.
func listenFor(ctx context.Context, n *fleet.Node) (*messages, error) {
	path := filepath.Join(n.Home, toAgents)
	if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("take messages for agents: %w", err)
	}
	m := &messages{conn: conn, first: make(chan message, 1)}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	go func() { // ended by Close, which waits for it
		defer stop()
		buffer := make([]byte, 64<<10)
		size, err := conn.Read(buffer)
		m.first <- message{string(buffer[:size]), time.Now(), err}
		close(m.first)
	}()
	return m, nil
}

// next waits for the message, which must be for the agent, and says when it came.
func (m *messages) next(agent string) (time.Time, error) {
	got := <-m.first
	if got.err == nil && !strings.Contains(got.text, " "+agent+" ") {
		got.err = fmt.Errorf("another message: %.200q", got.text)
	}
	return got.at, got.err
}

// Close ends it.
func (m *messages) Close() {
	_ = m.conn.Close()
	for range m.first {
	}
}

// path finds out which way a request went: from the node that was asked by way of
// the master to the one that knew.
func (s *show) path(ctx context.Context, asked, knows *fleet.Node, size int64) ([]Hop, error) {
	master := s.fleet.Master()
	relayed, err := recorded(ctx, asked, func(r dapi.Record) bool {
		return r.From == asked.Name && int64(r.Bytes) == size && len(r.Hops) == 1
	})
	if err != nil {
		return nil, err
	}
	routed, err := recorded(ctx, master, func(r dapi.Record) bool {
		return r.From == asked.Name && r.ID == relayed.Hops[0].ID && len(r.Hops) == 1 && r.Hops[0].Node == knows.Name
	})
	if err != nil {
		return nil, err
	}
	run, err := recorded(ctx, knows, func(r dapi.Record) bool { return r.ID == routed.Hops[0].ID })
	if err != nil {
		return nil, err
	}
	return []Hop{
		{asked.Name, milliseconds(relayed.Took), milliseconds(relayed.Took - routed.Took)},
		{master.Name, milliseconds(routed.Took), milliseconds(routed.Took - run.Took)},
		{knows.Name, milliseconds(run.Took), milliseconds(run.Took)},
	}, nil
}

// recorded finds the newest request that a node remembers and that fits.
func recorded(ctx context.Context, n *fleet.Node, fits func(dapi.Record) bool) (dapi.Record, error) {
	page, err := n.Get(ctx, "/status")
	if err != nil {
		return dapi.Record{}, err
	}
	var status struct {
		Requests dapi.Status `json:"requests"`
	}
	if err := json.Unmarshal(page, &status); err != nil {
		return dapi.Record{}, fmt.Errorf("the status of %s: %w", n.Name, err)
	}
	if i := slices.IndexFunc(status.Requests.Last, fits); i >= 0 {
		return status.Requests.Last[i], nil
	}
	return dapi.Record{}, fmt.Errorf("%s does not remember the request", n.Name)
}

// showCall tells the way and the time at each hop.
func (s *show) showCall(c *Call) {
	did := []string{"was asked, and asked the master", "knew the agent's node, and asked it", "left the message for the agent"}
	for i, hop := range c.Path {
		s.out.Linef("  %-9s %-37s %7.2f ms, of which %.2f its own", hop.Node, did[i], hop.Took, hop.Own)
	}
	s.out.Linef("  the message was there after %.2f ms, the answer after %.2f ms", c.Delivered, c.Answered)
}
