package cluster

import (
	"net"
	"sync"
)

// AdmissionLimits bound how many connections a master keeps. Strangers are
// connections whose hello has not been accepted yet; many workers may stand
// behind one address.
type AdmissionLimits struct {
	Connections         int // in all
	PerAddress          int // of one address
	StrangersPerAddress int // of one address, before their hello
}

// admission counts connections by address.
type admission struct {
	limits AdmissionLimits

	mu        sync.Mutex
	total     int
	byAddress map[string]*addressCount
}

type addressCount struct{ all, strangers int }

// enter admits a stranger, or says which limit keeps it out.
func (a *admission) enter(addr net.Addr) (*visitor, string) {
	key := hostOf(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byAddress == nil {
		a.byAddress = make(map[string]*addressCount)
	}
	c := a.byAddress[key]
	if c == nil {
		c = new(addressCount)
	}
	switch {
	case a.total >= a.limits.Connections:
		return nil, "connections"
	case c.all >= a.limits.PerAddress:
		return nil, "connections_per_address"
	case c.strangers >= a.limits.StrangersPerAddress:
		return nil, "strangers_per_address"
	}
	a.byAddress[key] = c
	a.total++
	c.all++
	c.strangers++
	return &visitor{admission: a, key: key, count: c, stranger: true}, ""
}

// visitor is one admitted connection.
type visitor struct {
	admission *admission
	key       string
	count     *addressCount
	stranger  bool
}

// known marks the connection as one whose hello was accepted.
func (v *visitor) known() {
	v.admission.mu.Lock()
	defer v.admission.mu.Unlock()
	if v.stranger {
		v.stranger = false
		v.count.strangers--
	}
}

func (v *visitor) leave() {
	v.known()
	a := v.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	v.count.all--
	if v.count.all == 0 {
		delete(a.byAddress, v.key)
	}
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}
