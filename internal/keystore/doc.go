// Package keystore keeps the keys of agents, etc/client.keys, and the times of
// their enrolment, queue/agents-timestamp (docs/enrolment.md §8). A Store is the
// one that a master adds to and removes from: what it answers is on the disk, and
// what waits shares one write. A Local is a worker's copy, which learns a key
// before it comes from the master.
package keystore
