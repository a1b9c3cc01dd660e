package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
	"testudo/internal/wire"
)

const (
	// mostRemembered bounds each kind of thing that a master remembers of those
	// who are not connected: what is oldest makes room.
	mostRemembered = 256
)

// Departure is how a worker's last session ended.
type Departure struct {
	Name, Version, Address string
	Connected, Ended       time.Time
	Reason                 string       // a few words
	Fault                  *fault.Error // its number, where it has one
}

// Refusal is what became of a hello that the master did not accept.
type Refusal struct {
	Name, Address string
	Cluster       string // that it claimed to belong to
	Version       string // that it presented
	Since, Last   time.Time
	Times         int
	Fault         *fault.Error
}

// Stranger is an address whose connections ended before a hello that could be
// read.
type Stranger struct {
	Address     string
	Since, Last time.Time
	Times       int
	Reason      string
	Fault       *fault.Error // its number, where it has one
}

// memory is what a master remembers of those who are not connected.
type memory struct {
	mu        sync.Mutex
	departed  map[string]Departure
	refused   map[string]Refusal
	strangers map[string]Stranger
}

func newMemory() memory {
	return memory{departed: make(map[string]Departure), refused: make(map[string]Refusal), strangers: make(map[string]Stranger)}
}

// Departed is how the last session of a worker that is not connected ended, as
// far as this process remembers. ok is false for one that is connected.
func (m *Master) Departed(name string) (d Departure, ok bool) {
	if m.members.has(name) {
		return Departure{}, false
	}
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	d, ok = m.memory.departed[name]
	return d, ok
}

// Absent lists the workers that were connected and are not, by name.
func (m *Master) Absent() []Departure {
	m.memory.mu.Lock()
	list := slices.Collect(maps.Values(m.memory.departed))
	m.memory.mu.Unlock()
	list = slices.DeleteFunc(list, func(d Departure) bool { return m.members.has(d.Name) })
	slices.SortFunc(list, func(a, b Departure) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Refused is the last hello under a name that was not accepted, since the last
// one that was.
func (m *Master) Refused(name string) (r Refusal, ok bool) {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	r, ok = m.memory.refused[name]
	return r, ok
}

// Refusals lists them all, by name.
func (m *Master) Refusals() []Refusal {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.memory.refused), func(a, b Refusal) int { return strings.Compare(a.Name, b.Name) })
}

// Strangers lists the addresses whose connections are not understood, the last
// one first.
func (m *Master) Strangers() []Stranger {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.memory.strangers), func(a, b Stranger) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Address, b.Address))
	})
}

// left takes down how a worker's session ended.
func (m *memory) left(w *member, err error, silence time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := Departure{
		Name: w.name, Version: w.hello.Version, Address: w.address, Connected: w.connected, Ended: time.Now(), Fault: numbered(err),
	}
	switch {
	case errors.Is(err, errSilent):
		d.Reason = fmt.Sprintf("nothing was heard of it for more than %s, so the connection was closed", silence)
	case errors.Is(err, errReplaced):
		d.Reason = "it connected again, and its old connection no longer answered"
	case err == nil, errors.Is(err, io.EOF):
		d.Reason = "the worker closed the connection, as it does when it stops, and as its system does when its process dies"
	default:
		d.Reason = connectionText(err)
	}
	room(m.departed, d.Name, func(d Departure) time.Time { return d.Ended })
	m.departed[d.Name] = d
}

// welcome forgets that a worker was refused, now that it is accepted.
func (m *memory) welcome(w *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.refused, w.name)
	delete(m.strangers, w.address)
}

// refuse takes down a hello that is not accepted.
func (m *memory) refuse(h session.Hello, address string, err error) {
	name := shortened(h.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	r, again := m.refused[name]
	if !again {
		room(m.refused, name, func(r Refusal) time.Time { return r.Last })
		r = Refusal{Name: name, Since: time.Now()}
	}
	r.Address, r.Cluster, r.Version, r.Last, r.Fault = address, shortened(h.Cluster), shortened(h.Version), time.Now(), fault.From(err)
	r.Times++
	m.refused[name] = r
}

// stranger takes down a connection without a hello.
func (m *memory) stranger(address string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, again := m.strangers[address]
	if !again {
		room(m.strangers, address, func(s Stranger) time.Time { return s.Last })
		s = Stranger{Address: address, Since: time.Now()}
	}
	s.Last, s.Reason, s.Fault = time.Now(), connectionText(err), numbered(err)
	s.Times++
	m.strangers[address] = s
}

// room makes room for a key in a table that is full: what is oldest goes.
func room[T any](table map[string]T, key string, at func(T) time.Time) {
	if _, there := table[key]; there || len(table) < mostRemembered {
		return
	}
	oldest, first := "", time.Time{}
	for k, v := range table {
		if t := at(v); oldest == "" || t.Before(first) {
			oldest, first = k, t
		}
	}
	delete(table, oldest)
}

// shortened bounds what a stranger says of itself.
func shortened(text string) string { return text[:min(len(text), 128)] }

// numbered is the number of an error, if it has one.
func numbered(err error) *fault.Error {
	var refused *wire.RefusedError
	if errors.As(err, &refused) && refused.Reason == wire.ReasonToken {
		return fault.New(fault.Decrypt, nil)
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return nil
}
