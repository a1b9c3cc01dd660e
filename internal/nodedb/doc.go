// Package nodedb is a node's agent database as a program of an operator sees
// it: asked through the socket of whoever serves it, a Testudo node or the
// original's daemon (docs/agentdb.md §2-4), or read from its file when nobody
// does. It shows agents and changes nothing by itself; [Conn] carries any
// command.
package nodedb
