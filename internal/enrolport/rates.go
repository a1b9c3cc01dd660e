package enrolport

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// mostAddresses bounds the addresses whose rate is known. Beyond it, the one
	// that has not come for longest is forgotten.
	mostAddresses = 16384
	// networkBits of an IPv6 address are whom we take it for: whoever has one has
	// 2^64 of them.
	networkBits = 64
)

// rates bounds how often each address may come.
type rates struct {
	limit rate.Limit // negative for no bound
	burst int

	mu     sync.Mutex
	known  map[netip.Addr]*list.Element
	recent *list.List // of *visitor: the one that has not come for longest first
}

type visitor struct {
	address netip.Addr
	limiter *rate.Limiter
}

func newRates(limit float64, burst int) *rates {
	return &rates{limit: rate.Limit(limit), burst: burst, known: make(map[netip.Addr]*list.Element), recent: list.New()}
}

// allow notes that an address has come, and tells whether it may.
func (r *rates) allow(a netip.Addr, now time.Time) bool {
	if r.limit < 0 {
		return true
	}
	if a.Is6() {
		if network, err := a.Prefix(networkBits); err == nil {
			a = network.Addr()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[a]
	if e == nil {
		e = r.recent.PushBack(&visitor{a, rate.NewLimiter(r.limit, r.burst)})
		r.known[a] = e
		if len(r.known) > mostAddresses {
			oldest := r.recent.Front()
			delete(r.known, r.recent.Remove(oldest).(*visitor).address)
		}
	} else {
		r.recent.MoveToBack(e)
	}
	return e.Value.(*visitor).limiter.AllowN(now, 1)
}
