package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"testudo/internal/agentdb"
	"testudo/internal/agentgroups"
	"testudo/internal/agentinfo"
	"testudo/internal/census"
	"testudo/internal/cluster"
	"testudo/internal/config"
	"testudo/internal/filetree"
	"testudo/internal/groups"
	"testudo/internal/inventory"
	"testudo/internal/manifest"
	"testudo/internal/reconcile"
	"testudo/internal/unixsock"
	"testudo/internal/wdb"
)

// The files and the socket of the agent database.
const (
	databaseDir    = "queue/db"
	databaseFile   = databaseDir + "/global.db"
	databaseSocket = databaseDir + "/wdb"
)

// early is the shortest time between two messages that tell a Testudo peer of
// changes, which do not wait for the interval.
const early = time.Second

// agents are the parts of a node that know agents: its own database with what
// belongs to it, or a client of the one that the installation has.
type agents struct {
	store     *agentdb.Store   // nil when external
	inventory *inventory.Store // nil when external
	hints     *filetree.Tree   // watches the files that the database follows; nil when external
	client    *wdb.Client      // nil when embedded
	external  *wdb.External    // over client
	listener  *unixsock.Listener
	follower  *reconcile.Reconciler // nil when external

	reports   *agentinfo.Master   // of a master
	groupsOut *agentgroups.Master // of a master
}

// database is what the exchanges want of an agent database.
type database interface {
	agentinfo.Source
	agentinfo.Sink
	agentgroups.Source
	agentgroups.Sink
}

// info is the database for agent-info; one of our own says when it has changed.
func (a *agents) info(db database) agentinfo.Source {
	if a.store != nil {
		return reported{a.store}
	}
	return db
}

// groups is the same for agent-groups.
func (a *agents) groups(db database) agentgroups.Source {
	if a.store != nil {
		return grouped{a.store}
	}
	return db
}

// addAgents opens the agent database, or a client of it, and adds its tasks. They
// come before those of the cluster, so that they end after them.
func (n *Node) addAgents(ctx context.Context, o Options) (database, error) {
	if !n.cfg.AgentDBEmbedded() {
		n.agents.client = wdb.Dial(filepath.Join(n.cfg.Home, databaseSocket), wdb.ClientOptions{})
		n.agents.external = wdb.NewExternal(n.agents.client, n.log)
		return n.agents.external, nil
	}
	if err := n.openDatabase(ctx); err != nil {
		return nil, err
	}
	socket, listener, err := n.databaseSocket(o)
	if err != nil {
		return nil, fmt.Errorf("serve agent database: %w", err)
	}
	n.agents.listener = listener
	store := n.agents.store
	n.group.Add("agent database", store.Run)
	n.group.Add("agent database socket", func(ctx context.Context) error { return socket.Serve(ctx, listener) })
	n.group.Add("agent database backups", store.RunBackups)
	n.agents.follower = n.reconciler()
	n.group.Add("agents and groups follow files", n.agents.follower.Run)
	n.group.Add("agents by state", n.newCensus().Run)
	if n.cfg.Cluster.Role != config.Worker && n.cfg.Shared.Merge {
		n.group.Add("groups' files", n.groupBuilder(o).Run)
	}
	return store, nil
}

func (n *Node) openDatabase(ctx context.Context) (err error) {
	cfg := n.cfg
	n.agents.store, err = agentdb.Open(ctx, agentdb.Options{
		Path: filepath.Join(cfg.Home, databaseFile), Master: cfg.Cluster.Role != config.Worker,
		AllowWrites: cfg.Testudo.AgentDB.SQLWrites, QueryTime: cfg.Testudo.AgentDB.QueryTime,
		Backups: agentdb.BackupOptions{Off: !cfg.Backup.Enabled, Interval: cfg.Backup.Interval, MaxFiles: cfg.Backup.MaxFiles},
		Log:     n.log, Metrics: n.metrics, Health: n.board,
	})
	if errors.Is(err, agentdb.ErrInUse) {
		return err // it says what to do
	} else if err != nil {
		return fmt.Errorf("open agent database: %w", err)
	}
	n.agents.inventory, err = inventory.Open(inventory.Options{
		Dir: filepath.Join(cfg.Home, databaseDir), Writable: cfg.Testudo.AgentDB.SQLWrites, MaxOpen: cfg.Database.OpenFiles,
		Timeout: cfg.Testudo.AgentDB.QueryTime, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("open agents' own databases: %w", err)
	}
	hints := filetree.Options{Items: followedFiles(), Log: n.log}
	if cfg.Testudo.Integrity.Watch {
		hints.Log = nil // n.tree says what is not watched
	}
	n.agents.hints, err = filetree.Open(cfg.Home, hints)
	if err != nil {
		return fmt.Errorf("open files of agents and groups: %w", err)
	}
	return nil
}

// followedFiles are the synchronised files that the database follows.
func followedFiles() manifest.Items {
	items := manifest.DefaultItems()
	items.List = nil
	for _, item := range manifest.DefaultItems().List {
		if item.Key == "etc/" || item.Key == "etc/shared/" {
			items.List = append(items.List, item)
		}
	}
	return items
}

func (n *Node) databaseSocket(o Options) (*wdb.Server, *unixsock.Listener, error) {
	set := n.cfg.Testudo.AgentDB
	server := wdb.NewServer(n.agents.store, n.agents.inventory, wdb.Options{
		Path: filepath.Join(n.cfg.Home, databaseSocket), UID: o.UID, GID: o.GID,
		Connections: set.Connections, MessageBytes: int(set.MessageBytes), MessageTime: set.MessageTime, QueryTime: set.QueryTime,
		SQLWrites: set.SQLWrites, Backup: n.cfg.Backup, Internal: n.cfg.Database, Log: n.log, Metrics: n.metrics,
	})
	listener, err := server.Listen()
	return server, listener, err
}

func (n *Node) reconciler() *reconcile.Reconciler {
	r := records{n.agents.store}
	return reconcile.New(reconcile.Config{
		Home: n.home, Master: n.cfg.Cluster.Role != config.Worker, NodeName: n.cfg.Cluster.NodeName, Version: n.cfg.Testudo.Version,
		Agents: r, Groups: r, Self: r, Watch: n.agents.hints.Watch, Replaced: n.agents.store.Replaced(),
		Removed: n.removeInventory, Expected: n.enrol.expected,
		Log: n.log, Metrics: n.metrics, Health: n.board,
	})
}

func (n *Node) newCensus() *census.Census {
	return census.New(census.Config{
		Source: records{n.agents.store}, Silence: n.cfg.Agents.DisconnectionTime, Log: n.log, Metrics: n.metrics, Health: n.board,
	})
}

func (n *Node) groupBuilder(o Options) *groups.Builder {
	return groups.NewBuilder(groups.Config{
		Home: n.home, Source: records{n.agents.store}, Reload: n.cfg.Shared.Reload,
		Watch: n.agents.hints.Watch, Quiet: n.agents.hints.Quiet,
		Owner: groups.Owner{UID: o.UID, GID: o.GID}, Log: n.log, Metrics: n.metrics, Health: n.board,
	})
}

// masterOfAgents is the master's end of the exchanges about agents.
func (n *Node) masterOfAgents(db database) []cluster.Exchange {
	own := n.cfg.Intervals.Master
	n.agents.groupsOut = agentgroups.NewMaster(agentgroups.MasterConfig{
		StartDelay: own.AgentGroupStartDelay, Interval: own.SyncAgentGroups, Early: early, Log: n.log,
	}, n.agents.groups(db))
	n.agents.reports = agentinfo.NewMaster(agentinfo.MasterConfig{Timeout: own.TimeoutAgentInfo}, db)
	n.group.Add("groups to workers", n.agents.groupsOut.Run)
	return []cluster.Exchange{n.agents.reports, n.agents.groupsOut}
}

// workerOfAgents is the worker's end of them.
func (n *Node) workerOfAgents(db database) []cluster.Exchange {
	own := n.cfg.Intervals.Worker
	return []cluster.Exchange{
		agentinfo.NewWorker(agentinfo.WorkerConfig{
			Node: n.cfg.Cluster.NodeName, Interval: own.SyncAgentInfo, Early: early,
		}, n.agents.info(db)),
		agentgroups.NewWorker(agentgroups.WorkerConfig{
			Timeout: own.TimeoutAgentGroups, Mismatches: own.AgentGroupsMismatchLimit,
		}, db),
	}
}

// ready says whether the database has been brought in step with the files.
func (a *agents) ready() bool { return a.follower == nil || a.follower.Ready() }

// close gives back what addAgents opened.
func (a *agents) close() error {
	var errs []error
	if a.client != nil {
		errs = append(errs, a.client.Close())
	}
	if a.listener != nil { // nobody serves it when another part of the node could not be built
		errs = append(errs, a.listener.Close())
	}
	if a.hints != nil {
		errs = append(errs, a.hints.Close())
	}
	if a.inventory != nil {
		errs = append(errs, a.inventory.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}
