// Package enrolport is the TLS port at which agents ask for a key, and the client
// of it (docs/enrolment.md §2, §3, §4, §12). The server reads one request from a
// connection, has a Registrar decide and tells the agent; it knows for each key
// whether the agent has it. What it holds for strangers is bounded: connections,
// the time each may take, how often one address may come, lines in the log.
package enrolport
