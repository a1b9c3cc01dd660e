package node

import (
	"fmt"
	"os"

	"testudo/internal/agentapi"
	"testudo/internal/atomicfile"
	"testudo/internal/config"
	"testudo/internal/dapi"
	"testudo/internal/functions"
	"testudo/internal/groups"
	"testudo/internal/home"
	"testudo/internal/rulesetapi"
)

// registry makes the table of the functions that this node can run.
func (n *Node) registry(info functions.Nodes) (*dapi.Registry, error) {
	agents, changes := n.agentFunctions()
	section := &n.cfg.Cluster
	registry, err := dapi.NewRegistry(functions.Table(functions.Deps{
		Cluster: section.Name, Role: string(section.Role), Enabled: section.Present && !section.Disabled,
		Config: n.clusterSection().JSON, Nodes: info,
		Parts: []functions.Part{
			agents, changes, n.managerFunctions(),
			rulesetapi.New(rulesetapi.Config{Home: n.home, Identity: home.Identity}),
		},
	})...)
	if err != nil {
		return nil, fmt.Errorf("functions of the distributed API: %w", err)
	}
	return registry, nil
}

// agentFunctions makes the functions about agents and groups: those that read
// and those that change something.
func (n *Node) agentFunctions() (*agentapi.API, *agentapi.Changes) {
	read := agentapi.Config{Home: n.home}
	change := agentapi.ChangeConfig{
		Home: n.home, Dir: n.cfg.Home, Owner: groups.Owner{UID: atomicfile.Keep, GID: atomicfile.Keep}, Log: n.log,
	}
	if uid, gid, ok := home.Identity(); ok && os.Geteuid() == 0 {
		change.Owner = groups.Owner{UID: uid, GID: gid}
	}
	if n.agents.store != nil {
		read.Database, change.Groups = agentapi.Embedded{Store: n.agents.store}, n.agents.store
	} else if n.agents.external != nil {
		read.Database, read.Tasks = agentapi.External{Foreign: n.agents.external}, n.agents.external.Tasks()
		change.Groups, change.States = n.agents.external, n.agents.external
	}
	change.Reader = agentapi.New(read)
	return change.Reader, agentapi.NewChanges(change)
}

// clusterSection is the section <cluster> as local programs may see it.
func (n *Node) clusterSection() *config.Cluster {
	section := n.cfg.Cluster
	if !n.cfg.Testudo.Local.ShowKey {
		section.Key = config.Secret(section.Key.String())
	}
	return &section
}
