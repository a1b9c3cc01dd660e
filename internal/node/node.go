// Package node builds one node of a cluster from its configuration and runs
// it: straight-line wiring of the packages below, no logic of its own.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"testudo/internal/bundle"
	"testudo/internal/cluster"
	"testudo/internal/config"
	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/groups"
	"testudo/internal/health"
	"testudo/internal/lifecycle"
	"testudo/internal/logging"
	"testudo/internal/manifest"
	"testudo/internal/metrics"
	"testudo/internal/sdnotify"
	"testudo/internal/session"
	"testudo/internal/why"
	"testudo/internal/wire"
)

// Files below the home that are ours alone.
const (
	stateFile  = "queue/db/cluster.db"
	digestFile = "queue/db/testudo-digests"
	spoolDir   = "queue/cluster/.spool"
)

// Options is what a node needs besides its configuration.
type Options struct {
	Config  *config.Config
	Log     *slog.Logger
	Metrics *metrics.Set
	UID     int // owner of the files the node writes, -1 to leave it
	GID     int
}

// Node is one node, built but not yet running.
type Node struct {
	cfg     *config.Config
	log     *slog.Logger
	metrics *metrics.Set
	board   *health.Board
	home    *os.Root
	tree    *filetree.Tree
	states  *filestate.Store
	spool   *bundle.Spool // of a master
	agents  agents
	enrol   enroller
	api     api
	cluster net.Listener // of a master
	group   *lifecycle.Group
	ready   func() bool
	status  func() any
}

// New builds a node. The home must be locked and clean (package home); Close
// gives back what New opened.
func New(ctx context.Context, o Options) (n *Node, err error) {
	cfg := o.Config
	n = &Node{cfg: cfg, board: health.New(), metrics: o.Metrics}
	tag := "Master"
	if cfg.Cluster.Role == config.Worker {
		tag = "Worker " + cfg.Cluster.NodeName
	}
	n.log = o.Log.With(logging.Tag(tag))
	n.group = lifecycle.New(n.log)
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.home, err = os.OpenRoot(cfg.Home); err != nil {
		return n, fmt.Errorf("open home: %w", err)
	}
	n.tree, err = filetree.Open(cfg.Home, filetree.Options{
		Items: cfg.Items, CacheFile: digestFile, Workers: cfg.Intervals.Master.ProcessPoolSize,
		UID: o.UID, GID: o.GID, Log: n.log,
	})
	if err != nil {
		return n, fmt.Errorf("open file tree: %w", err)
	}
	if _, err = n.tree.CleanTemporary(ctx); err != nil {
		return n, fmt.Errorf("clean file tree: %w", err)
	}
	if err := groups.CleanRemoved(n.home); err != nil { // it takes room, and is in nobody's way
		n.log.Warn("Files of removed groups are left.", slog.Any("error", err))
	}
	n.states, err = filestate.Open(ctx, filepath.Join(cfg.Home, stateFile), n.log)
	if err != nil {
		return n, fmt.Errorf("open file states: %w", err)
	}
	key, err := wire.NewKey(cfg.Cluster.Key.Reveal())
	if err != nil {
		return n, fmt.Errorf("cluster key: %w", err)
	}
	db, err := n.addAgents(ctx, o)
	if err != nil {
		return n, err
	}
	if cfg.Cluster.Role == config.Worker {
		err = n.addWorker(key, db)
	} else if err = n.addKeys(o); err == nil {
		err = n.addMaster(ctx, key, db)
	}
	if err != nil {
		return n, err
	}
	if err = n.addAPI(o); err != nil {
		return n, err
	}
	if err = n.addEnrolment(ctx, o); err != nil {
		return n, err
	}
	n.addOps(ctx)
	return n, nil
}

// Run runs the node until ctx ends or a part of it fails.
func (n *Node) Run(ctx context.Context) error {
	if err := sdnotify.Ready(); err != nil {
		n.log.Debug("systemd was not told of readiness", "error", err)
	}
	err := n.group.Run(ctx)
	_ = sdnotify.Stopping() // systemd may be gone; the node stops anyway
	return err
}

// Close gives back what New opened. Run has returned.
func (n *Node) Close() {
	if n.cluster != nil {
		_ = n.cluster.Close() // nobody serves it when another part of the node could not be built
	}
	if err := n.api.close(); err != nil {
		n.log.Error("The local socket is not closed properly", "error", err)
	}
	if err := n.enrol.close(); err != nil {
		n.log.Error("Enrolment is not closed properly", "error", err)
	}
	if err := n.agents.close(); err != nil {
		n.log.Error("The agent database is not closed properly", "error", err)
	}
	if n.spool != nil {
		_ = n.spool.Close()
	}
	if n.states != nil {
		n.states.Close()
	}
	if n.tree != nil {
		if err := n.tree.Close(); err != nil {
			n.log.Warn("The digest cache is not saved; the next start hashes all files", "error", err)
		}
	}
	if n.home != nil {
		_ = n.home.Close()
	}
}

func (n *Node) addMaster(ctx context.Context, key *wire.Key, db database) (err error) {
	cfg := n.cfg
	own, com, set := cfg.Intervals.Master, cfg.Intervals.Communication, cfg.Testudo
	if n.spool, err = bundle.OpenSpool(n.home, spoolDir, int64(set.Integrity.CacheBytes), com.CompressLevel); err != nil {
		return fmt.Errorf("open spool of compressed files: %w", err)
	}
	files := integrityMaster(n)
	exchanges := append(n.masterOfAgents(db), files)
	var master *cluster.Master
	more, err := n.masterOfAPI(files, func() []cluster.Member { return master.Members() })
	if err != nil {
		return err
	}
	more = append(more, n.whyOfMaster(files, func() why.Registry { return master }))
	master = cluster.NewMaster(cluster.MasterConfig{
		NodeName: cfg.Cluster.NodeName, Cluster: cfg.Cluster.Name, Version: set.Version,
		Session: n.sessionConfig(key, int64(n.metadataLimit())),
		Limits: cluster.AdmissionLimits{
			Connections: set.Limits.Connections, PerAddress: set.Limits.ConnectionsPerAddress,
			StrangersPerAddress: set.Limits.StrangersPerAddress,
		},
		CheckEvery: own.CheckWorkerLastKeepAlive, MaxSilence: own.MaxAllowedTimeWithoutKeepAlive,
		ProbeTimeout: set.Limits.ProbeTimeout, Log: n.log, Metrics: n.metrics,
	}, append(exchanges, more...)...)
	listener, err := cluster.Listen(ctx, net.JoinHostPort(cfg.Cluster.BindAddr, strconv.Itoa(cfg.Cluster.Port)))
	if err != nil {
		return fmt.Errorf("Could not start master: %w", err) //nolint:staticcheck // a line that people search (docs/logs.md)
	}
	n.cluster = listener
	n.ready = func() bool { return files.Ready() && n.agents.ready() } // in this order: groups come as files
	n.status = func() any { return statusOfMaster(n, master, files) }
	n.group.Add("integrity", files.Run)
	n.group.Add("cluster", func(ctx context.Context) error { return master.Serve(ctx, listener) })
	return nil
}

func (n *Node) addWorker(key *wire.Key, db database) error {
	cfg := n.cfg
	own, set := cfg.Intervals.Worker, cfg.Testudo
	files := integrityWorker(n)
	exchanges := append(n.workerOfAgents(db), files)
	var worker *cluster.Worker
	more, err := n.workerOfAPI(func() bool { return !worker.Connected().IsZero() })
	if err != nil {
		return err
	}
	more = append(more, n.whyOfWorker(files, func() why.Link { return worker }))
	worker = cluster.NewWorker(cluster.WorkerConfig{
		Hello: session.Hello{
			Name: cfg.Cluster.NodeName, Cluster: cfg.Cluster.Name, Type: string(config.Worker), Version: set.Version,
		},
		Master: cfg.Cluster.MasterAddress(), Port: cfg.Cluster.Port,
		Session:   n.sessionConfig(key, int64(set.Limits.BundleBytes)),
		KeepAlive: own.KeepAlive, MaxFailed: own.MaxFailedKeepAlives, Retry: own.ConnectionRetry,
		Log: n.log, Metrics: n.metrics,
	}, append(exchanges, more...)...)
	n.ready = func() bool { return files.Ready() && n.agents.ready() } // in this order: groups come as files
	n.status = func() any { return statusOfWorker(n, worker, files) }
	n.group.Add("integrity", files.Run)
	n.group.Add("cluster", worker.Run)
	n.addForwarding()
	return nil
}

func (n *Node) sessionConfig(key *wire.Key, uploadBytes int64) session.Config {
	l := n.cfg.Testudo.Limits
	return session.Config{
		Key: key, Home: n.home, Metrics: n.metrics, Log: n.log,
		RequestTimeout: n.cfg.Intervals.Communication.TimeoutRequest,
		Limits: session.Limits{
			HelloTimeout: l.HelloTimeout, HelloBytes: int(l.HelloBytes), FrameTimeout: l.FrameTimeout,
			DividedMessages: l.DividedMessages, DividedBytes: int64(l.DividedBytes), DividedAge: l.DividedAge,
			Uploads: l.Uploads, UploadBytes: min(uploadBytes, int64(l.UploadBytes)), UploadAge: l.UploadAge,
			Strings: l.Strings, StringBytes: int64(l.StringBytes), StringAge: l.StringAge,
			QueueBytes: int64(l.QueueBytes), TokenAge: l.TokenAge,
		},
	}
}

// bytesPerFile is what one file's entry takes at most in a worker's metadata,
// with a path of usual length.
const bytesPerFile = 1 << 10

func (n *Node) metadataLimit() config.ByteSize {
	return config.ByteSize(n.cfg.Testudo.Limits.ManifestFiles) * bytesPerFile
}

func (n *Node) manifestLimits() manifest.Limits {
	return manifest.Limits{Entries: n.cfg.Testudo.Limits.ManifestFiles, Bytes: int64(n.metadataLimit())}
}
