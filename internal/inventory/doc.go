// Package inventory keeps the databases of single agents, queue/db/NNN.db: what
// each agent has of packages, processes, ports and interfaces, its operating
// system and hardware (docs/agentdb.md §12). One file belongs to one agent; 000
// is the manager itself.
//
// A file that does not exist is made by the first request for it, as the
// original does: whoever asks has made sure that the agent exists. Only so many
// files are open at once; the one unused for longest is closed for the next.
package inventory
