package simulate

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
)

// Bounds of EnrolOptions.
const (
	maxEnrolments = 1_000_000
	maxServers    = 64
	maxClients    = 4096
	maxTries      = 100
	maxEnrolRate  = 100_000
)

// EnrolOptions says how agents that do not exist ask for keys. They ask real
// ports, of Testudo or of the original (docs/enrolment.md §2-4), and get real
// keys.
type EnrolOptions struct {
	Servers  []string      // HOST or HOST:PORT; the agents take them in turn
	Count    int           // agents, 1 to 1,000,000
	Rate     float64       // agents a second that begin, whatever became of those before; 0 for the next as soon as one is done
	Clients  int           // agents that ask at a time, at most; 0 for 256
	Duration time.Duration // no agent begins after it; 0 for all of them
	Tries    int           // an agent that got no key asks the next server, so often in all; 0 for once
	Pause    time.Duration // before it does
	Timeout  time.Duration // of each question; 0 for ten seconds
	Groups   []string      // that each agent asks for
	Password agent.Secret  // of the servers; empty for none
	CA       string        // file with the authority of the servers' certificates; empty to take any
	Mark     string        // hexadecimal digits in the agents' names; empty for eight random ones

	// Status is told each second how it goes; it may be nil.
	Status func(EnrolStatus)

	// ask takes the place of the client in tests.
	ask func(ctx context.Context, server, name string) (agent.Key, error)
}

// enrolVersion is the version that these agents say they have.
const enrolVersion = "v4.7.5"

// EnrolStatus is how a run goes.
type EnrolStatus struct {
	Elapsed  time.Duration
	Begun    int
	Enrolled int
	Failed   int // tries without a key
	Open     int // agents that ask now
	Latency  Latency
}

var enrolMark = regexp.MustCompile(`^[0-9a-f]{1,16}$`)

func (o EnrolOptions) withDefaults() (EnrolOptions, error) {
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{len(o.Servers) < 1 || len(o.Servers) > maxServers, fmt.Sprintf("1 to %d servers", maxServers)},
		{o.Count < 1 || o.Count > maxEnrolments, fmt.Sprintf("1 to %d agents", maxEnrolments)},
		{!(o.Rate >= 0 && o.Rate <= maxEnrolRate), fmt.Sprintf("a rate of 0 to %d a second", maxEnrolRate)},
		{o.Clients < 0 || o.Clients > maxClients, fmt.Sprintf("1 to %d clients", maxClients)},
		{o.Tries < 0 || o.Tries > maxTries, fmt.Sprintf("1 to %d tries", maxTries)},
		{o.Duration < 0 || o.Pause < 0 || o.Timeout < 0, "no negative times"},
		{o.Mark != "" && !enrolMark.MatchString(o.Mark), "a mark of 1 to 16 hexadecimal digits"},
	} {
		if rule.broken {
			return o, fmt.Errorf("%w: wanted %s", ErrOptions, rule.text)
		}
	}
	o.Clients = min(cmp.Or(o.Clients, 256), o.Count)
	o.Tries = cmp.Or(o.Tries, 1)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	if o.Mark == "" {
		random := make([]byte, 4)
		_, _ = rand.Read(random) // never fails
		o.Mark = hex.EncodeToString(random)
	}
	if o.Status == nil {
		o.Status = func(EnrolStatus) {}
	}
	if o.ask == nil {
		return o, o.makeClients()
	}
	return o, nil
}

// makeClients has ask speak to the servers.
func (o *EnrolOptions) makeClients() error {
	clients := map[string]*enrolport.Client{}
	for _, server := range o.Servers {
		c, err := enrolport.NewClient(enrolport.ClientConfig{Address: server, CA: o.CA, Timeout: o.Timeout})
		if err != nil {
			return err
		}
		clients[server] = c
	}
	groups, password := o.Groups, o.Password
	o.ask = func(ctx context.Context, server, name string) (agent.Key, error) {
		return clients[server].Enrol(ctx, enrolment.Request{Name: name, Version: enrolVersion, Groups: groups}, password)
	}
	return nil
}

// enrolPrefix begins the names of agents that are enrolled here. What follows is
// the mark of the run and the agent's number in it.
const enrolPrefix = "sim-enrol-"

func enrolName(mark string, i int) string { return enrolPrefix + mark + "-" + strconv.Itoa(i) }

// isEnrolName says whether an agent was enrolled here, in the run with a mark;
// any run for "".
func isEnrolName(name, mark string) bool {
	rest, ok := strings.CutPrefix(name, enrolPrefix)
	found, number, parted := strings.Cut(rest, "-")
	if !ok || !parted || !enrolMark.MatchString(found) || mark != "" && found != mark {
		return false
	}
	_, err := strconv.ParseUint(number, 10, 31)
	return err == nil
}

// errOtherName is returned for a key that is not the asking agent's.
var errOtherName = errors.New("a key for another name")

// Enrolment is one run of agents that ask for keys. Its methods are called one
// after the other.
type Enrolment struct {
	o     EnrolOptions
	began time.Time
	next  atomic.Int64
	tally enrolTally
}

// NewEnrolment prepares a run.
func NewEnrolment(o EnrolOptions) (*Enrolment, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Enrolment{o: o}
	e.tally.init(o)
	return e, nil
}

// Run has the agents enrol and returns when the last has its key or has given up.
// The end of ctx lets no other begin; those that ask get their answers.
func (e *Enrolment) Run(ctx context.Context) {
	e.began = time.Now()
	beginning := ctx
	if e.o.Duration > 0 {
		limited, cancel := context.WithDeadline(ctx, e.began.Add(e.o.Duration))
		defer cancel()
		beginning = limited
	}
	var clients, teller sync.WaitGroup
	for range e.o.Clients {
		clients.Go(func() { e.client(beginning, ctx) })
	}
	done := make(chan struct{})
	teller.Go(func() { e.tell(done) })
	clients.Wait()
	close(done)
	teller.Wait()
	e.tally.ended(time.Since(e.began))
}

func (e *Enrolment) tell(done <-chan struct{}) {
	turn := time.NewTicker(time.Second)
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
			e.o.Status(e.tally.status(time.Since(e.began)))
		case <-done:
			return
		}
	}
}

// client is one agent after the other, until no more may begin. When all clients
// are busy an agent begins late, and its time counts from when it should have.
func (e *Enrolment) client(beginning, ctx context.Context) {
	for beginning.Err() == nil {
		i := int(e.next.Add(1)) - 1
		if i >= e.o.Count {
			return
		}
		intended := time.Now()
		if e.o.Rate > 0 {
			intended = e.began.Add(time.Duration(float64(i) / e.o.Rate * float64(time.Second)))
			if !waitUntil(beginning, intended) {
				return
			}
		}
		e.enrol(ctx, i, intended)
	}
}

// waitUntil waits for a time; false when ctx ends before.
func waitUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// enrol is one agent. What it has asked when ctx ends it still hears.
func (e *Enrolment) enrol(ctx context.Context, i int, intended time.Time) {
	e.tally.begin(time.Since(intended))
	name := enrolName(e.o.Mark, i)
	for try := range e.o.Tries {
		if try > 0 && !waitUntil(ctx, time.Now().Add(e.o.Pause)) {
			break
		}
		at := (i + try) % len(e.o.Servers)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.o.Timeout)
		key, err := e.o.ask(limited, e.o.Servers[at], name)
		cancel()
		if err == nil && key.Name != name {
			err = errOtherName
		}
		if err == nil {
			e.tally.enrolled(at, time.Since(intended), key)
			return
		}
		e.tally.failed(at, outcomeOf(err, name))
	}
	e.tally.gaveUp()
}
