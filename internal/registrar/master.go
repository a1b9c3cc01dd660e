package registrar

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/health"
	"testudo/internal/keystore"
	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/session"
)

// settleTime is how long it may take from a decision until the agent has its key
// and that is known here. Whoever wants the place of a held registration waits as
// long; no key that is older than lateTime is handed over before it is made sure
// that it is there and held anew.
const settleTime = 5 * time.Second

// Keys are the keys of this master; keystore.Store is what they are.
type Keys interface {
	Add(ctx context.Context, a keystore.Addition) (keystore.Entry, error)
	Remove(ctx context.Context, id string, purge bool) (keystore.Entry, error)
	ByID(id string) (keystore.Entry, bool)
	ByName(name string) (keystore.Entry, bool)
	ByBareAddress(bare string) (keystore.Entry, bool)
	Len() int
	Each(f func(keystore.Entry) bool)
	Unclean() (modified time.Time, unclean bool)
}

// MasterConfig is what a Master needs. Zero values are replaced by those named.
type MasterConfig struct {
	Keys      Keys
	Agents    Agents
	Home      *os.Root           // has etc/shared
	HostName  string             // which no agent may have as its name
	Settings  enrolment.Settings // of which Force and Purge count here
	InCluster bool               // the cluster section is enabled
	Waiting   int                // changes of the database that wait while it is away; 10,000
	Log       *slog.Logger
	Metrics   *metrics.Set
	Health    *health.Board
}

// Master decides who may have a key. It is safe for use by many goroutines.
type Master struct {
	cfg      MasterConfig
	log      *slog.Logger
	locks    locks
	held     *holding
	rows     *rows
	refusals session.Refusals
	failing  logging.Recurring // keys cannot be written
	silent   logging.Recurring // the database does not say how an agent is
}

// NewMaster makes a Master. Its Run must be under way while it is used.
func NewMaster(cfg MasterConfig) *Master {
	cfg.Waiting = cmp.Or(cfg.Waiting, 10_000)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With(logging.Task("Enrolment"))
	m := &Master{cfg: cfg, log: cfg.Log, held: newHolding(heldMost)}
	m.rows = newRows(cfg)
	m.loadUnwritten()
	m.loadHeld()
	m.holdDoubtful()
	m.count()
	return m
}

// Run writes to the database what could not be written at once, and counts, until
// ctx ends. Nobody may ask after that: what is held then is left for the next one.
func (m *Master) Run(ctx context.Context) error {
	var counting sync.WaitGroup
	defer counting.Wait()
	counting.Go(func() {
		for sleep(ctx, countEvery) {
			m.count()
		}
	})
	m.rows.run(ctx)
	m.saveUnwritten()
	m.saveHeld()
	return nil
}

// countEvery is how often the gauges are brought up to date besides.
const countEvery = 10 * time.Second

func (m *Master) count() { m.cfg.Metrics.Keys(m.cfg.Keys.Len(), m.held.len()) }

// Register gives an agent a key if it may have one (docs/enrolment.md §5). from
// tells the log who asks. The error is a *enrolment.Refusal, but for one of ctx.
func (m *Master) Register(ctx context.Context, r enrolment.Request, from string) (*Registration, error) {
	address, err := enrolment.ParseAddress(r.Address)
	if err != nil {
		return nil, err
	}
	w := wanted{
		name: r.Name, address: address, groups: r.Groups, hash: r.KeyHash,
		force: m.cfg.Settings.Force, held: true, port: true, from: from,
	}
	for {
		asked := time.Now()
		entry, denied := m.admit(ctx, w)
		if denied != nil {
			return nil, denied.port
		}
		if time.Since(asked) > lateTime {
			kept, err := m.holdAnew(ctx, entry)
			if err != nil {
				return nil, err
			}
			if !kept {
				continue // another has got the place: that counts now
			}
		}
		return &Registration{
			Entry: entry, Address: address.Asked,
			delivered: func() { m.held.end(entry.ID) },
			lost:      func(ctx context.Context) { m.lose(ctx, entry) },
		}, nil
	}
}
