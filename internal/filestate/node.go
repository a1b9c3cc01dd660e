package filestate

import (
	"time"

	"testudo/internal/manifest"
	"testudo/internal/sqlitedb"
)

// NodeState is what is known of a node as a whole.
type NodeState struct {
	Node, Role, Version, Address string

	Connected      bool
	ConnectedSince time.Time // of the present connection, or of the last one
	LastCheck      time.Time // end of the last comparison
	LastSync       time.Time // end of the last transfer of files
	InStepSince    time.Time // zero while the node's files differ

	Lag         time.Duration   // how far behind the master; resolution 1 ms
	Files       int             // in the node's manifest
	ManifestSum manifest.Digest // of the node's manifest
}

// equal reports whether the two look the same in the database, which keeps times
// in milliseconds.
func (n NodeState) equal(o NodeState) bool {
	return n.stored() == o.stored()
}

// stored is n as it comes back from the database.
func (n NodeState) stored() NodeState {
	for _, t := range []*time.Time{&n.ConnectedSince, &n.LastCheck, &n.LastSync, &n.InStepSince} {
		if !t.IsZero() {
			*t = time.UnixMilli(t.UnixMilli())
		}
	}
	n.Lag = n.Lag.Truncate(time.Millisecond)
	return n
}

const upsertNode = `INSERT INTO node_state(node, role, version, address, connected,
	connected_since, last_check, last_sync, in_step_since, lag, files, manifest_sum, touched)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT(node) DO UPDATE SET role = excluded.role, version = excluded.version,
	address = excluded.address, connected = excluded.connected,
	connected_since = excluded.connected_since, last_check = excluded.last_check,
	last_sync = excluded.last_sync, in_step_since = excluded.in_step_since, lag = excluded.lag,
	files = excluded.files, manifest_sum = excluded.manifest_sum, touched = excluded.touched`

func writeNode(c *sqlitedb.Conn, n NodeState, now time.Time) error {
	return sqlitedb.Exec(c, upsertNode, n.Node, n.Role, n.Version, n.Address, n.Connected,
		timeArg(n.ConnectedSince), timeArg(n.LastCheck), timeArg(n.LastSync), timeArg(n.InStepSince),
		n.Lag.Milliseconds(), n.Files, digestArg(n.ManifestSum), now.UnixMilli())
}

const selectNodes = `SELECT node, role, version, address, connected, connected_since, last_check,
	last_sync, in_step_since, lag, files, manifest_sum, touched FROM node_state ORDER BY node`

// readNodes hands each node, and when it was last heard of, to each.
func readNodes(c *sqlitedb.Conn, each func(NodeState, time.Time)) error {
	return sqlitedb.Select(c, selectNodes, func(s *sqlitedb.Stmt) error {
		each(NodeState{
			Node: s.ColumnText(0), Role: s.ColumnText(1), Version: s.ColumnText(2), Address: s.ColumnText(3),
			Connected:      s.ColumnBool(4),
			ConnectedSince: columnTime(s, 5), LastCheck: columnTime(s, 6),
			LastSync: columnTime(s, 7), InStepSince: columnTime(s, 8),
			Lag:         time.Duration(s.ColumnInt64(9)) * time.Millisecond,
			Files:       s.ColumnInt(10),
			ManifestSum: columnDigest(s, 11),
		}, columnTime(s, 12))
		return nil
	})
}
