// Package unixsock is local stream sockets that carry messages: a server that
// bounds everything a client can make it hold, and a client that asks one thing
// at a time. How a message is told from the next is a Framing; LengthPrefix is
// the one of the agent database's socket (docs/agentdb.md §2).
package unixsock
