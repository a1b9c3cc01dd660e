package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// garbagePercent is how much garbage there may be beside what is in use before
	// it is collected, in percent of the latter.
	//
	// Most of what a node keeps are its agents. What it makes in passing, strings of
	// reports and of groups, is large and soon over, so that with Go's own 100 a node
	// would take almost twice what it needs, and stay there. At 50 there are twice as
	// many collections, which cost little: there are few pointers among the agents.
	// It is a share, not a bound in bytes, so that it fits a node of a million agents
	// as well: no node collects without end because its agents do not fit.
	garbagePercent = 50

	// leastGarbage is how many bytes of it there may be in any case. Half of the
	// little that a small node has in use is made by a few hundred requests of the
	// API, and to collect it for each of these would cost a fifth of their time.
	leastGarbage = 16 << 20
)

// LimitGarbage sets that for the process, unless its environment has GOGC.
func LimitGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(percentFor(leastGarbage)) // what little there is at the start is not worth a collection
	adjustAfterCollections()
}

// adjustAfterCollections fits the share to what is in use, each time that this
// was found out: then a collected becomes garbage, and the next one is made.
func adjustAfterCollections() {
	type collected struct{ percent *int } // not so small that it shares its place in memory
	var found func(*collected)
	found = func(c *collected) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if percent := percentFor(live[0].Value.Uint64()); percent != *c.percent {
			*c.percent = percent
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(&collected{c.percent}, found)
	}
	runtime.SetFinalizer(&collected{new(int)}, found)
}

// percentFor is the share of garbage beside so many bytes in use, in steps that
// are not crossed all the time.
func percentFor(live uint64) int {
	const step, most = 25, 800
	percent := int(leastGarbage * 100 / max(live, 1<<20) / step * step)
	return min(max(percent, garbagePercent), most)
}
