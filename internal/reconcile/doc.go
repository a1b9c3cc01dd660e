// Package reconcile keeps the agent database in step with the files beside it
// (docs/agentdb.md §15): the agents of etc/client.keys have a row each and no
// others do, the directories of etc/shared are the rows of the group table, and
// agent 0 is this node.
//
// It compares what is with what should be and does what is missing, again and
// again; what is told about changes only makes it compare sooner.
//
// On a worker both follow their files at once: the files come from the master.
// On a master enrolment writes client.keys and then the database. So there,
// after the start, an agent is only inserted or deleted when it has been amiss
// for Grace: what enrolment is about to do is left to it.
//
// Rows that go are gone with all that belongs to them. A client.keys that looks
// like an accident (missing, empty, cut off, or without more than half of the
// agents) therefore removes nobody who has not been without a key for a while;
// see hold.
package reconcile
