// Package chunks is what agent-info and agent-groups have in common
// (docs/agentsync.md): a long string that holds chunks of agents' data, texts
// of JSON inside JSON, the command that names the string, and the result that
// the receiver reports for it.
//
// string.go and scan.go are the text of such a string, result.go that of a
// result; inbox.go is the receiving end of a session, outbox.go the sending
// end. What is done with the chunks is up to the exchanges.
package chunks
