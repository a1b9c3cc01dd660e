// Package simulate writes the state of agents that do not exist into the
// databases of a cluster that does, the way the original's programs write it for
// real ones, and measures how long the nodes take to agree on it.
//
// The agents are made as the nodes would make them: their keys go into the
// master's etc/client.keys, from where they travel to the workers, and their
// rows into the master's database; groups are directories below the master's
// etc/shared. Where a node is given by its socket alone, rows and groups are
// inserted there directly. Agents and groups carry a mark ([Name], the beginning
// of the key, a line in the group's agent.conf) and nothing without it is ever
// changed or removed.
//
// A run has four parts: [Simulation.Prepare], [Simulation.Run], which keeps the
// agents alive at a rate and lets some of them move, leave, come back and change
// groups, [Simulation.Settle], which waits until every node says the same of
// every agent, and [Simulation.Report].
//
// [Enrolment] is another thing: agents that do not exist either, but ask real
// ports for real keys, at a rate. Their mark is in their names.
package simulate
