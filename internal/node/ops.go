package node

import (
	"context"
	"fmt"
	"net"
	"time"

	"testudo/internal/cluster"
	"testudo/internal/dapi"
	"testudo/internal/filestate"
	"testudo/internal/health"
	"testudo/internal/integrity"
	"testudo/internal/localsock"
	"testudo/internal/opshttp"
	"testudo/internal/why"
)

// Status is what /status shows.
type Status struct {
	Node       string             `json:"node"`
	Role       string             `json:"role"`
	Version    string             `json:"version"`
	Ready      bool               `json:"ready"`
	Files      int                `json:"files,omitempty"`
	Connected  *time.Time         `json:"connected_to_master_since,omitempty"`
	Workers    []WorkerStatus     `json:"workers,omitempty"`
	Requests   *dapi.Status       `json:"requests,omitempty"`     // docs/dapi.md §8
	Local      *localsock.Stats   `json:"local_socket,omitempty"` // docs/local.md §1
	Enrolment  *EnrolmentStatus   `json:"enrolment,omitempty"`
	Conditions []health.Condition `json:"conditions"`
}

// WorkerStatus is one worker, as its master sees it.
type WorkerStatus struct {
	Name          string     `json:"name"`
	Version       string     `json:"version"`
	Address       string     `json:"address"`
	Testudo       bool       `json:"testudo"`
	Connected     time.Time  `json:"connected_since"`
	LastKeepAlive *time.Time `json:"last_keep_alive,omitempty"`

	// docs/agentsync.md §10
	AgentInfoFree  *bool      `json:"sync_agent_info_free,omitempty"`
	LastAgentInfo  *AgentSync `json:"last_sync_agentinfo,omitempty"`
	LastAgentGroup *AgentSync `json:"last_sync_agentgroup,omitempty"`
	LastFullGroups *AgentSync `json:"last_sync_full_agentgroup,omitempty"`
}

// AgentSync is the last time that agents' data went from one node to the other.
type AgentSync struct {
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"` // absent while there is no result
	Chunks  int        `json:"chunks"`          // that were stored
}

func agentSync(started, ended time.Time, chunks int) *AgentSync {
	if started.IsZero() {
		return nil
	}
	return &AgentSync{Started: started, Ended: set(ended), Chunks: chunks}
}

// addAgentSyncs fills in how the exchanges about agents stand with the worker.
func (w *WorkerStatus) addAgentSyncs(a *agents) {
	if info, ok := a.reports.Status(w.Name); ok {
		w.AgentInfoFree, w.LastAgentInfo = &info.Free, agentSync(info.Started, info.Ended, info.Chunks)
	}
	if changes, full, ok := a.groupsOut.Status(w.Name); ok {
		w.LastAgentGroup = agentSync(changes.Started, changes.Ended, changes.Chunks)
		w.LastFullGroups = agentSync(full.Started, full.Ended, full.Chunks)
	}
}

func statusOfMaster(n *Node, m *cluster.Master, files *integrity.Master) Status {
	s := n.commonStatus()
	s.Files = files.Files()
	for _, w := range m.Members() {
		worker := WorkerStatus{
			Name: w.Name, Version: w.Version, Address: w.Address, Testudo: w.Testudo,
			Connected: w.Connected, LastKeepAlive: set(w.LastKeepAlive),
		}
		worker.addAgentSyncs(&n.agents)
		s.Workers = append(s.Workers, worker)
	}
	return s
}

func statusOfWorker(n *Node, w *cluster.Worker, _ *integrity.Worker) Status {
	s := n.commonStatus()
	s.Connected = set(w.Connected())
	if s.Enrolment != nil && s.Enrolment.Port != nil {
		text, since, _ := why.NoKeys(w, n.api.keys)
		s.Enrolment.NoKeys, s.Enrolment.Since = text, set(since)
	}
	return s
}

func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (n *Node) commonStatus() Status {
	c := n.cfg.Cluster
	s := Status{Node: c.NodeName, Role: string(c.Role), Version: n.cfg.Testudo.Version, Ready: n.ready(), Conditions: n.board.All()}
	s.Enrolment = n.enrol.status()
	if n.api.server != nil {
		local := n.api.server.Stats()
		s.Local = &local
	}
	if n.api.requests != nil {
		requests := n.api.requests.Status()
		s.Requests = &requests
	}
	return s
}

// addOps adds the page for operators. A node whose page cannot be served is
// still a good node: it says so and goes on.
func (n *Node) addOps(ctx context.Context) {
	n.group.Add("gauges", n.gauge)
	address := n.cfg.Testudo.Metrics.Address
	if address == "" {
		return
	}
	server, err := opshttp.New(address, opshttp.Deps{
		Metrics: n.metrics.Handler(), Health: n.board, Ready: n.ready, Status: n.status, Log: n.log,
	}, opshttp.AllowRemote()) // config has warned of an address beyond this machine
	var listener net.Listener
	if err == nil {
		listener, err = server.Listen(ctx)
	}
	if err != nil {
		n.board.Raise("metrics-unserved", health.Warning, err.Error(), "set metrics.address in etc/testudo.yaml to a free loopback port")
		n.log.Error("Metrics are not served: " + err.Error())
		return
	}
	n.group.Add("metrics", func(ctx context.Context) error { return server.Serve(ctx, listener) })
}

// gauge brings those figures up to date that nobody tells the metrics of.
func (n *Node) gauge(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if n.spool != nil {
			n.metrics.BundleCache(n.spool.Bytes())
		}
		if err := n.countFiles(ctx); err != nil && ctx.Err() == nil {
			n.log.Debug("files are not counted", "error", err)
		}
	}
}

func (n *Node) countFiles(ctx context.Context) error {
	counts, err := n.states.Counts(ctx)
	if err != nil {
		return fmt.Errorf("count files by state: %w", err)
	}
	total := map[filestate.State]int{
		filestate.Synchronized: 0, filestate.Pending: 0, filestate.Failed: 0, filestate.ToBeDeleted: 0,
	}
	for _, states := range counts {
		for state, count := range states {
			total[state] += count
		}
	}
	for state, count := range total {
		n.metrics.Files(string(state), count)
	}
	return nil
}
