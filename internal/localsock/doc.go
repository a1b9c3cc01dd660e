// Package localsock is the socket queue/cluster/c-internal.sock, by which local
// programs ask a node: its server, and a client as the original's programs have
// one (docs/local.md).
//
// The frames are those of the wire, in clear. A connection lives for one request
// as a rule, and there are thousands of them a second, so it is leaner than a
// session.Session: one goroutine, whose buffers serve the next connection, and
// nothing that is not needed by a request that is answered at once.
package localsock
