// Package filestate keeps the answer to "what does each node have of each
// synchronised file, and why not": one row a node and file in the SQLite
// database queue/db/cluster.db.
//
// The database is a view. Whoever knows the truth (the master's and the
// worker's side of the file synchronisation) hands over the whole picture of a
// node, again and again, and the [Store] writes what differs from the rows that
// are there. So nothing is lost by losing the file: a damaged one is moved aside
// and the next pictures fill a new one. It also means that nobody waits for the
// disk: of one node at most one picture waits to be written, a newer one takes
// the place of an older one, and one goroutine writes.
//
// Other processes read at the same time ([Query], [Walk], [Counts], [Nodes]),
// and write one thing: an operator's decision to let a held-back shrink of the
// tree pass ([AcceptShrink]).
package filestate
