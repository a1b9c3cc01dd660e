package nodeinfo

import "sync/atomic"

const (
	// keptFilters is how many arguments of get_nodes are kept as they were read:
	// clients, and our own functions, ask the same again and again.
	keptFilters = 8
	// maxKept bounds one argument.
	maxKept = 4 << 10
)

// recentFilters are the last arguments of get_nodes. Its zero value has none.
type recentFilters struct {
	next atomic.Uint32
	list [keptFilters]atomic.Pointer[askedNodes]
}

type askedNodes struct {
	argument string
	filter   NodeFilter
}

// find gives the filter of an argument that was kept; nobody may change what it
// refers to.
func (r *recentFilters) find(argument []byte) (f NodeFilter, ok bool) {
	for i := range r.list {
		if a := r.list[i].Load(); a != nil && a.argument == string(argument) {
			return a.filter, true
		}
	}
	return f, false
}

// keep takes the place of the oldest.
func (r *recentFilters) keep(argument []byte, f NodeFilter) {
	if len(argument) <= maxKept {
		place := r.next.Add(1) % keptFilters
		r.list[place].Store(&askedNodes{string(argument), f})
	}
}
