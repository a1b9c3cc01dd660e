// Package agentdb keeps what a node knows of the agents: queue/db/global.db, in
// the schema of the original's version 6, so that each program can open the
// other's file (docs/agentdb.md §8).
//
// One goroutine writes ([Store.Run]). It gathers what callers ask for into
// transactions and answers each caller when its transaction is committed: what
// was answered is in the file. Readers are many and see committed states only.
//
// Beside the file the store keeps a roster, a small record of each agent in
// memory, that the writer brings up to date after each commit. Lists, counts and
// the question "what has to be reported" are answered from it, and it spares the
// file those writes that would change nothing.
package agentdb
