// Package agent holds the words about agents: their ids, states, groups and
// keys, how each is written and which ones are valid. It is pure: nothing here
// reads a file or asks a database.
package agent
