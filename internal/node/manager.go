package node

import (
	"os"

	"testudo/internal/atomicfile"
	"testudo/internal/dapi"
	"testudo/internal/home"
	"testudo/internal/managerapi"
)

// embedded are the daemons of an installation whose work this process does.
func (n *Node) embedded() []string {
	daemons := []string{home.Daemon}
	if n.agents.store != nil {
		daemons = append(daemons, "wazuh-db")
	}
	if n.cfg.EnrolmentEmbedded() {
		daemons = append(daemons, "wazuh-authd")
	}
	return daemons
}

// managerFunctions makes the functions about this node.
func (n *Node) managerFunctions() *managerapi.API {
	cfg := managerapi.Config{
		Dir: n.cfg.Home, Home: n.home, Version: n.cfg.Testudo.Version,
		Alone: !n.cfg.Cluster.Present || n.cfg.Cluster.Disabled, Embedded: n.embedded(),
		UID: atomicfile.Keep, GID: atomicfile.Keep,
	}
	if uid, gid, ok := home.Identity(); ok && os.Geteuid() == 0 {
		cfg.UID, cfg.GID = uid, gid
	}
	return managerapi.New(cfg)
}

// readiness says which daemons functions may rely on.
func (n *Node) readiness() dapi.Readiness {
	daemons := managerapi.Daemons{Dir: n.cfg.Home, Embedded: n.embedded()}
	return dapi.Readiness{Daemons: daemons, Installed: daemons.Installed, Embedded: daemons.Embedded}
}
