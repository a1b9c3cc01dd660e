package node

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"testudo/internal/agent"
	"testudo/internal/cluster"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/home"
	"testudo/internal/integrity"
	"testudo/internal/localsock"
	"testudo/internal/nodeinfo"
	"testudo/internal/sendsync"
	"testudo/internal/unixsock"
)

// localSocket is where local programs ask the node.
const localSocket = home.QueueDir + "/" + home.Socket

// patience is how much longer than a daemon of the master may take a worker waits
// for the answer.
const patience = time.Minute

// api is what answers local programs, and the requests that other nodes pass on.
type api struct {
	commands localsock.Commands
	listener *unixsock.Listener // nil before addAPI
	server   *localsock.Server  // nil before addAPI
	requests requests           // nil before its end is made
	daemons  *sendsync.Worker   // of a worker: asks daemons of the master
	keys     *sendsync.Watch    // of a worker: asks the master for agents' keys
}

// requests is this node's end of the distributed API.
type requests interface {
	Status() dapi.Status
	Close()
}

// masterOfAPI makes the master's end of what local programs ask for. members is
// called only when the node runs.
func (n *Node) masterOfAPI(files *integrity.Master, members func() []cluster.Member) ([]cluster.Exchange, error) {
	cfg, set := n.cfg, n.cfg.Testudo
	info := nodeinfo.NewMaster(nodeinfo.MasterConfig{
		Name: cfg.Cluster.NodeName, Version: set.Version, Address: cfg.Cluster.MasterAddress(),
		Members: members, Files: files, Info: n.agents.reports, Groups: n.agents.groupsOut, Agents: n.activeAgents(),
		Tree: integrity.NewReader(n.tree), Items: cfg.Items,
	})
	registry, err := n.registry(info)
	if err != nil {
		return nil, err
	}
	requests := dapi.NewMaster(dapi.MasterConfig{
		Config: n.requestsConfig(), Nodes: dapi.NodesFunc(func() []string { return names(cfg.Cluster.NodeName, members()) }),
	}, registry, agentNodes{n.eachNode()})
	n.api.requests = requests
	n.api.commands = localsock.Commands{
		Nodes: info.GetNodes, Health: info.GetHealth, Hash: info.GetHash,
		DAPI: requests.AskTo, Forward: requests.AskNodeTo,
		Known: func(node string) bool {
			return slices.ContainsFunc(members(), func(m cluster.Member) bool { return m.Name == node })
		},
	}
	embedded, features := n.enrol.embedded()
	daemons := sendsync.NewMaster(sendsync.MasterConfig{
		Embedded: embedded, Features: features, Home: cfg.Home, Parallel: set.SendSync.Parallel, Waiting: set.SendSync.Waiting, AnswerTime: set.SendSync.AnswerTime,
		MessageBytes: int(set.Local.MessageBytes), Log: n.log,
	})
	return []cluster.Exchange{info, requests, daemons}, nil
}

// workerOfAPI makes the worker's end of it.
func (n *Node) workerOfAPI(connected func() bool) ([]cluster.Exchange, error) {
	cfg, set := n.cfg, n.cfg.Testudo
	info := nodeinfo.NewWorker(nodeinfo.WorkerConfig{Tree: integrity.NewReader(n.tree), Items: cfg.Items})
	registry, err := n.registry(info)
	if err != nil {
		return nil, err
	}
	requests := dapi.NewWorker(n.requestsConfig(), registry)
	daemons := sendsync.NewWorker(sendsync.WorkerConfig{Patience: set.SendSync.AnswerTime + patience, Log: n.log})
	n.api.requests, n.api.daemons, n.api.keys = requests, daemons, daemons.NewWatch()
	n.api.commands = localsock.Commands{
		Nodes: info.GetNodes, Health: info.GetHealth, Hash: info.GetHash,
		DAPI: requests.AskTo, Sync: daemons.Ask, Relayed: true,
		Connected: func() error {
			if connected() {
				return nil
			}
			return fault.New(fault.NotConnected, nil)
		},
	}
	return []cluster.Exchange{info, requests, daemons}, nil
}

// requestsConfig is what both ends of the distributed API need.
func (n *Node) requestsConfig() dapi.Config {
	set := n.cfg.Testudo.Requests
	return dapi.Config{
		Node: n.cfg.Cluster.NodeName, Single: !n.cfg.DistributedAPI, Ready: n.readiness(),
		Fallback: n.executor(), Timeout: n.cfg.Intervals.Communication.TimeoutDAPIRequest, RequestBytes: int(n.cfg.Testudo.Local.MessageBytes),
		Queue: dapi.QueueConfig{Running: set.Running, Open: set.Open}, Owed: set.Owed, AnswerBytes: int64(set.AnswerBytes),
		Log: n.log, Metrics: n.metrics,
	}
}

// names lists the nodes of a cluster, the master first.
func names(master string, workers []cluster.Member) []string {
	list := append(make([]string, 0, 1+len(workers)), master)
	for _, w := range workers {
		list = append(list, w.Name)
	}
	return list
}

// addAPI opens the socket of local programs, which can ask as soon as the node
// runs. It comes after the cluster's tasks, so that it ends before them.
func (n *Node) addAPI(o Options) error {
	set := n.cfg.Testudo.Local
	section, err := n.clusterSection().JSON() // which does not change while the node runs
	if err != nil {
		return fmt.Errorf("serve local programs: %w", err)
	}
	n.api.commands.Config = func() ([]byte, error) { return section, nil }
	server := localsock.NewServer(localsock.Options{
		Path: filepath.Join(n.cfg.Home, localSocket), UID: o.UID, GID: o.GID,
		Connections: set.Connections, Requests: set.Requests, MessageBytes: int64(set.MessageBytes),
		MessageTime: set.MessageTime, Idle: set.IdleTime, ReplyTime: n.cfg.Intervals.Communication.TimeoutRequest,
		Log: o.Log, Metrics: n.metrics,
	}, n.api.commands)
	listener, err := server.Listen()
	if err != nil {
		return fmt.Errorf("serve local programs: %w", err)
	}
	n.api.listener, n.api.server = listener, server
	n.group.Add("local socket", func(ctx context.Context) error { return server.Serve(ctx, listener) })
	return nil
}

// close ends what still runs, and gives back what addAPI opened.
func (a *api) close() error {
	if a.requests != nil {
		a.requests.Close()
	}
	if a.listener == nil {
		return nil
	}
	return a.listener.Close()
}

// activeAgents counts agents from memory, also where the database is another
// program's.
func (n *Node) activeAgents() nodeinfo.Agents {
	if n.agents.store != nil {
		return n.agents.store
	}
	tally := nodeinfo.NewTally(n.agents.external.CountAgents, n.log)
	n.group.Add("agents of other nodes", tally.Run)
	return tally
}

// eachNode tells to which node agents report.
func (n *Node) eachNode() eachNode {
	if n.agents.store != nil {
		return n.agents.store.EachNode
	}
	return n.agents.external.EachNode
}

type eachNode func(ctx context.Context, ids []agent.ID, f func(id agent.ID, node string)) error

// agentNodes is that for the distributed API.
type agentNodes struct{ each eachNode }

// NodesOf implements dapi.Agents.
func (a agentNodes) NodesOf(ctx context.Context, ids []agent.ID) (list []dapi.AgentNode, err error) {
	if ids != nil {
		ids = slices.Sorted(slices.Values(ids))
		ids = slices.Compact(ids)
	}
	err = a.each(ctx, ids, func(id agent.ID, node string) { list = append(list, dapi.AgentNode{ID: id, Node: node}) })
	return list, err
}
