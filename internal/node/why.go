package node

import (
	"context"
	"time"

	"testudo/internal/cluster"
	"testudo/internal/integrity"
	"testudo/internal/nodeinfo"
	"testudo/internal/why"
)

// whyOfMaster adds the answer to why a node is behind or gone. It comes after
// masterOfAPI.
func (n *Node) whyOfMaster(files *integrity.Master, registry func() why.Registry) cluster.Exchange {
	m := why.NewMaster(why.MasterConfig{
		Name: n.cfg.Cluster.NodeName, Registry: registry, Files: files, Agents: n.agents.reports, Groups: n.agents.groupsOut,
		Board: n.board, Silence: n.cfg.Intervals.Master.MaxAllowedTimeWithoutKeepAlive, Started: time.Now(),
	})
	n.api.commands.Why = m.Ask
	return m
}

// whyOfWorker is the same for a worker. It comes after workerOfAPI.
func (n *Node) whyOfWorker(files *integrity.Worker, link func() why.Link) cluster.Exchange {
	health := n.api.commands.Health
	var keys why.Enrolment
	if n.cfg.EnrolmentEmbedded() && n.cfg.Auth.RemoteEnrollment {
		keys = n.api.keys
	}
	w := why.NewWorker(why.WorkerConfig{
		Enrolment: keys, Name: n.cfg.Cluster.NodeName, Link: link, InStep: files.Ready, Board: n.board, Started: time.Now(),
		Health: func(ctx context.Context) (nodeinfo.Health, error) {
			text, err := health(ctx, []byte("null"))
			if err != nil {
				return nodeinfo.Health{}, err
			}
			return nodeinfo.ParseHealth(text)
		},
	})
	n.api.commands.Why = w.Ask
	return w
}
