package dapi

// action is what becomes of a request.
type action int

const (
	refuse   action = iota // error 1000: nobody here can send it on
	runHere                // by this node
	fanOut                 // by the nodes concerned
	askOwner               // the master decides
)

// origin is where a request was asked.
type origin int

const (
	onSocket  origin = iota // by a program of this node
	onCluster               // by another node
)

// rule is one row of the table of docs/dapi.md §5. The first that fits counts.
type rule struct {
	master      truth
	origin      map[origin]bool // nil fits all
	requestType RequestType     // "" fits all
	fromCluster truth
	single      truth // distributed_api.enabled is false: every node runs what it is asked

	then action
}

// truth is a condition: yes, no or either.
type truth int

const (
	either truth = iota
	yes
	no
)

func (t truth) fits(b bool) bool { return t == either || (t == yes) == b }

var socketOnly = map[origin]bool{onSocket: true}

var routing = []rule{
	{master: no, origin: socketOnly, then: askOwner}, // a worker's socket looks at no request
	{single: yes, then: runHere},
	{requestType: LocalAny, then: runHere},
	{master: yes, requestType: LocalMaster, then: runHere},
	{requestType: DistributedMaster, fromCluster: yes, then: runHere},
	{master: yes, requestType: DistributedMaster, then: fanOut},
	{then: refuse},
}

// route says what becomes of a request of a type that came to a master or
// worker.
func route(master bool, from origin, t RequestType, fromCluster, single bool) action {
	for _, r := range routing {
		if r.master.fits(master) && (r.origin == nil || r.origin[from]) &&
			(r.requestType == "" || r.requestType == t) &&
			r.fromCluster.fits(fromCluster) && r.single.fits(single) {
			return r.then
		}
	}
	return refuse
}
