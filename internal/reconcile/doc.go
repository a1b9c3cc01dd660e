// Package reconcile keeps the agent database in step with the files beside it
// (docs/agentdb.md §15): the agents of etc/client.keys have a row each and no
// others do, the directories of etc/shared are the rows of the group table, and
// agent 0 is this node.
//
// It compares what is with what should be and does what is missing, again and
// again; what is told about changes only makes it compare sooner.
//
// Rows follow their files at once, with one exception: on a master enrolment
// takes an agent out of client.keys and then deletes its row. So there, after the
// start, an agent is only deleted when it has been without a key for Grace.
//
// Rows that go are gone with all that belongs to them. A client.keys that looks
// like an accident (missing, empty, cut off, or without more than half of the
// agents) therefore removes nobody who has not been without a key for a while;
// see hold.
package reconcile
