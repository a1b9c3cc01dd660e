package node

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage there may be beside what is in use before it
// is collected, in percent of the latter.
//
// Most of what a node keeps are its agents. What it makes in passing, strings of
// reports and of groups, is large and soon over, so that with Go's own 100 a node
// would take almost twice what it needs, and stay there. At 50 there are twice as
// many collections, which cost little: there are few pointers among the agents.
// It is a share, not a bound in bytes, so that it fits a node of a million agents
// as well: no node collects without end because its agents do not fit.
const garbagePercent = 50

// LimitGarbage sets that for the process, unless its environment has GOGC.
func LimitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
