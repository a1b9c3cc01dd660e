// Package wdb is the language of the socket queue/db/wdb (docs/agentdb.md): the
// server that answers it from this node's databases, and the client that speaks
// it to the database daemon of the original when that one has the files.
package wdb
