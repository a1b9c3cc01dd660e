package node

import (
	"fmt"

	"testudo/internal/agentapi"
	"testudo/internal/config"
	"testudo/internal/dapi"
	"testudo/internal/functions"
	"testudo/internal/home"
	"testudo/internal/rulesetapi"
)

// registry makes the table of the functions that this node can run.
func (n *Node) registry(info functions.Nodes) (*dapi.Registry, error) {
	agents := agentapi.Config{Home: n.home}
	if n.agents.store != nil {
		agents.Database = agentapi.Embedded{Store: n.agents.store}
	}
	section := &n.cfg.Cluster
	registry, err := dapi.NewRegistry(functions.Table(functions.Deps{
		Cluster: section.Name, Role: string(section.Role), Enabled: section.Present && !section.Disabled,
		Config: n.clusterSection().JSON, Nodes: info,
		Parts: []functions.Part{
			agentapi.New(agents),
			rulesetapi.New(rulesetapi.Config{Home: n.home, Identity: home.Identity}),
		},
	})...)
	if err != nil {
		return nil, fmt.Errorf("functions of the distributed API: %w", err)
	}
	return registry, nil
}

// clusterSection is the section <cluster> as local programs may see it.
func (n *Node) clusterSection() *config.Cluster {
	section := n.cfg.Cluster
	if !n.cfg.Testudo.Local.ShowKey {
		section.Key = config.Secret(section.Key.String())
	}
	return &section
}
