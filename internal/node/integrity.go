package node

import (
	"testudo/internal/bundle"
	"testudo/internal/home"
	"testudo/internal/integrity"
)

func integrityMaster(n *Node) *integrity.Master {
	own, com, set := n.cfg.Intervals.Master, n.cfg.Intervals.Communication, n.cfg.Testudo
	return integrity.NewMaster(integrity.MasterConfig{
		Node: n.cfg.Cluster.NodeName, Version: set.Version, Items: n.cfg.Items,
		Recalculate: own.RecalculateIntegrity, MaxLocked: own.MaxLockedIntegrityTime, ReceiveTimeout: com.TimeoutReceivingFile,
		MaxZip: com.MaxZipSize, MinZip: com.MinZipSize, Tolerance: com.ZipLimitTolerance, Level: com.CompressLevel,
		Limits: n.manifestLimits(), Watch: set.Integrity.Watch,
		HoldShrink: set.Integrity.HoldShrink, ShrinkRatio: set.Integrity.ShrinkRatio, Decision: n.states.TakeShrinkDecision, Held: n.states.SetHeld,
		KeysRemoved: n.enrol.keysRemoved,
		Home:        n.home, States: n.states, Health: n.board, Metrics: n.metrics, Log: n.log,
	}, n.tree, n.spool)
}

func integrityWorker(n *Node) *integrity.Worker {
	com, set := n.cfg.Intervals.Communication, n.cfg.Testudo
	var ahead integrity.Ahead
	if n.cfg.EnrolmentEmbedded() {
		ahead = integrity.Ahead{Path: home.KeysPath, Is: n.enrol.ahead}
	}
	return integrity.NewWorker(integrity.WorkerConfig{
		Node: n.cfg.Cluster.NodeName, Items: n.cfg.Items,
		Interval: n.cfg.Intervals.Worker.SyncIntegrity, Rescan: n.cfg.Intervals.Master.RecalculateIntegrity, ReceiveTimeout: com.TimeoutReceivingFile, Level: com.CompressLevel,
		Watch: set.Integrity.Watch,
		Package: bundle.Limits{
			Members: set.Limits.ManifestFiles + 1, MemberBytes: int64(set.Limits.BundleBytes), TotalBytes: int64(set.Limits.BundleBytes),
		},
		Limits: n.manifestLimits(), Ahead: ahead,
		States: n.states, Health: n.board, Metrics: n.metrics, Log: n.log,
	}, n.tree)
}
