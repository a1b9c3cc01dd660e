package dapi

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"testudo/internal/fault"
	"testudo/internal/metrics"
)

// QueueConfig bounds what runs and waits on a node (docs/dapi.md §8).
type QueueConfig struct {
	Running  int // functions at once; 0 means 4 for each processor, at least 16
	Share    int // of these for one asker; 0 means three quarters
	Function int // of these for one function; 0 means half

	Open      int   // requests of one asker that run, wait or are answered; 0 means 2,048
	OpenAll   int   // of all askers; 0 means 4 times as many
	OpenBytes int64 // of all their JSON; one asker gets half. 0 means 128 MiB
}

// least is how many open requests an asker may have whatever others do.
const least = 16

func (c QueueConfig) withDefaults() QueueConfig {
	c.Running = cmp.Or(c.Running, max(16, 4*runtime.GOMAXPROCS(0)))
	c.Share = cmp.Or(c.Share, max(1, c.Running*3/4))
	c.Function = cmp.Or(c.Function, max(1, c.Running/2))
	c.Open = cmp.Or(c.Open, 2048)
	c.OpenAll = cmp.Or(c.OpenAll, 4*c.Open)
	c.OpenBytes = cmp.Or(c.OpenBytes, 128<<20)
	return c
}

// busy is the answer to what does not fit in.
func busy(format string, args ...any) *fault.Error {
	return fault.New(fault.Busy, fmt.Sprintf(format, args...))
}

// gate counts the open requests of each asker.
type gate struct {
	cfg QueueConfig

	mu     sync.Mutex
	askers map[string]*open
	total  open
}

type open struct {
	requests int
	bytes    int64
}

// enter lets a request in, until leave is called, or says that there are too
// many.
func (g *gate) enter(asker string, size int) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mine := g.askers[asker]
	if mine == nil {
		mine = new(open)
	}
	n := int64(size)
	switch {
	case mine.requests >= g.cfg.Open:
		return nil, busy("%d requests of this node's are open", mine.requests)
	case g.total.requests >= g.cfg.OpenAll && mine.requests >= least:
		return nil, busy("%d requests are open", g.total.requests)
	case g.total.bytes+n > g.cfg.OpenBytes, mine.bytes+n > g.cfg.OpenBytes/2:
		return nil, busy("the requests that are open have %d bytes", g.total.bytes)
	}
	if g.askers == nil {
		g.askers = make(map[string]*open)
	}
	g.askers[asker] = mine
	mine.add(1, n)
	g.total.add(1, n)
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		mine.add(-1, -n)
		g.total.add(-1, -n)
		if mine.requests == 0 {
			delete(g.askers, asker)
		}
	}), nil
}

func (o *open) add(requests int, bytes int64) {
	o.requests += requests
	o.bytes += bytes
}

// slots runs a bounded number of functions at once. Who waits gets its turn by
// askers in a circle, and of one asker by functions in a circle, so that
// neither a busy node nor a slow function keeps the others waiting for long.
type slots struct {
	cfg     QueueConfig
	metrics *metrics.Set

	mu        sync.Mutex
	running   int
	waiting   int
	functions map[string]int // running, by function
	lanes     map[string]*lane
	circle    []*lane // those where somebody waits, the next one first
}

// lane is what one asker runs and waits for.
type lane struct {
	asker   string
	running int
	circle  []*line // by function, none is empty, the next one first
}

// line is those who wait to run one function.
type line struct {
	function string
	turns    []chan struct{} // closed when the turn has come
}

// acquire waits for a slot, which release gives back. It returns the context's
// cause when that ends first.
func (q *slots) acquire(ctx context.Context, asker, function string) (release func(), err error) {
	turn := q.join(asker, function)
	release = sync.OnceFunc(func() { q.release(asker, function) })
	if turn == nil {
		return release, nil
	}
	select {
	case <-turn:
		return release, nil
	case <-ctx.Done():
	}
	if !q.abandon(asker, function, turn) { // it came at the same time
		release()
	}
	return nil, context.Cause(ctx)
}

// join takes a slot, or gives the turn to wait for.
func (q *slots) join(asker, function string) (turn chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lanes == nil {
		q.lanes, q.functions = make(map[string]*lane), make(map[string]int)
	}
	l := q.lanes[asker]
	if l == nil {
		l = &lane{asker: asker}
		q.lanes[asker] = l
	}
	if q.free(l, function) {
		q.take(l, function)
		return nil
	}
	turn = make(chan struct{})
	if len(l.circle) == 0 {
		q.circle = append(q.circle, l)
	}
	i := slices.IndexFunc(l.circle, func(w *line) bool { return w.function == function })
	if i < 0 {
		i = len(l.circle)
		l.circle = append(l.circle, &line{function: function})
	}
	l.circle[i].turns = append(l.circle[i].turns, turn)
	q.count(1)
	return turn
}

// free tells whether the function could run now for the asker. Nobody who
// could is waiting: dispatch would have let them in.
func (q *slots) free(l *lane, function string) bool {
	return q.running < q.cfg.Running && l.running < q.cfg.Share && q.functions[function] < q.cfg.Function
}

func (q *slots) take(l *lane, function string) {
	q.running++
	l.running++
	q.functions[function]++
}

func (q *slots) release(asker, function string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[asker]
	q.running--
	l.running--
	if q.functions[function]--; q.functions[function] == 0 {
		delete(q.functions, function)
	}
	q.forget(l)
	q.dispatch()
}

// forget drops a lane in which nothing is left.
func (q *slots) forget(l *lane) {
	if l.running == 0 && len(l.circle) == 0 {
		delete(q.lanes, l.asker)
	}
}

// dispatch lets in who may run now.
func (q *slots) dispatch() {
	for q.running < q.cfg.Running && q.admitOne() {
	}
}

func (q *slots) admitOne() bool {
	for i, l := range q.circle {
		for k, w := range l.circle {
			if !q.free(l, w.function) {
				continue
			}
			turn := w.turns[0]
			w.turns = w.turns[1:]
			l.circle = slices.Delete(l.circle, k, k+1)
			if len(w.turns) > 0 {
				l.circle = append(l.circle, w)
			}
			q.circle = slices.Delete(q.circle, i, i+1)
			if len(l.circle) > 0 {
				q.circle = append(q.circle, l)
			}
			q.take(l, w.function)
			q.count(-1)
			close(turn)
			return true
		}
	}
	return false
}

// abandon gives a turn up. It is false when the turn has come already.
func (q *slots) abandon(asker, function string, turn chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[asker]
	if l == nil {
		return false
	}
	k := slices.IndexFunc(l.circle, func(w *line) bool { return w.function == function })
	if k < 0 {
		return false
	}
	w := l.circle[k]
	i := slices.Index(w.turns, turn)
	if i < 0 {
		return false
	}
	w.turns = slices.Delete(w.turns, i, i+1)
	q.count(-1)
	if len(w.turns) == 0 {
		l.circle = slices.Delete(l.circle, k, k+1)
	}
	if len(l.circle) == 0 {
		q.circle = slices.DeleteFunc(q.circle, func(x *lane) bool { return x == l })
		q.forget(l)
	}
	return true
}

func (q *slots) count(n int) {
	q.waiting += n
	q.metrics.QueueDepth("dapi", q.waiting)
}
