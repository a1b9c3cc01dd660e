// Package groups keeps the files of agents' groups: a group is a directory of
// etc/shared, and what its agents are sent is made of the files in it
// (docs/agents.md §12).
//
// Create, Remove and List are for whoever manages groups. A Builder is the task
// of a master that makes merged.mg, one file out of a group's files, for every
// group and for every combination of groups that agents have (a multigroup). It
// looks at the directories again and again: what is told about changes only
// makes it look sooner. A worker has no Builder; its files come from the master.
//
// Everything happens below an os.Root. No link leads out of etc/shared, and
// nothing is removed through one.
package groups
