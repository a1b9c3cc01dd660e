// Package census watches over the states of agents (docs/agents.md §11): an
// agent that has been silent for too long becomes disconnected, and how many
// agents are in which state and report to which node is told in metrics and
// health.
//
// Every node that keeps the agent database itself runs it over its own. What a
// worker finds out so stays there: the master decides by its own table, in which
// the workers keep their agents fresh. That is also why nothing happens here
// when a worker's session ends: its agents may be on their way to another node,
// and those that are not fall silent and are found by the timer.
package census
