package registrar

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/keystore"
	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/session"
)

const (
	// Feature is what a master offers that knows held registrations
	// (docs/extensions.md).
	Feature = session.FeatureEnrol

	// askClient is the name under which the master's answers come back.
	askClient = "enrolment"

	// lateTime is the age at which the master's answer is not handed over without
	// asking again: at settleTime another agent may get the place, and until then
	// the port has to see that the key arrives, and the master to hear of it.
	lateTime = 2 * time.Second
)

// WorkerConfig is what a Worker needs. Zero values are replaced by those named.
type WorkerConfig struct {
	// Ask sends a question to the master's daemon and waits for its answer
	// (docs/local.md §7).
	Ask func(ctx context.Context, client string, request []byte) ([]byte, error)
	// PeerHas tells whether the master of this moment offers a feature.
	PeerHas func(feature string) bool
	// Learn makes this node know a key before it comes with client.keys; may be nil.
	Learn    func(keystore.Entry) error
	Settings enrolment.Settings // what "getconfig auth" tells
	Attempts int                // to ask the master; 10
	Pause    time.Duration      // between two; 1 s
	Log      *slog.Logger
	Metrics  *metrics.Set
}

// Worker has its master decide who may have a key. It is safe for use by many
// goroutines.
type Worker struct {
	cfg       WorkerConfig
	log       *slog.Logger
	away      logging.Recurring
	unlearned logging.Recurring
	confirms  *confirms
}

// NewWorker makes a Worker. Its Run must be under way while it is used.
func NewWorker(cfg WorkerConfig) *Worker {
	cfg.Attempts, cfg.Pause = cmp.Or(cfg.Attempts, 10), cmp.Or(cfg.Pause, time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.PeerHas == nil {
		cfg.PeerHas = func(string) bool { return false }
	}
	w := &Worker{cfg: cfg, log: cfg.Log.With(logging.Task("Enrolment"))}
	w.confirms = newConfirms(w.askTestudo)
	return w
}

// Run tells the master which agents have got their keys until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	w.confirms.run(ctx)
	return nil
}

// Answer answers a message of the local socket: a worker does not decide
// (docs/enrolment.md §9).
func (w *Worker) Answer(_ context.Context, message []byte) []byte {
	if len(message) == 0 || message[0] != '{' {
		return w.cfg.Settings.Answer(string(message))
	}
	return refused(enrolment.CodeWorker).JSON()
}

// Register has the master give an agent a key (docs/enrolment.md §10). from tells
// the log who asks. The error is a *enrolment.Refusal.
func (w *Worker) Register(ctx context.Context, r enrolment.Request, from string) (*Registration, error) {
	start := time.Now()
	reg, err := w.register(ctx, r)
	outcome := "ok"
	switch {
	case errors.Is(err, errNoMaster):
		outcome, err = "no master", enrolment.NoMaster()
	case err != nil:
		outcome = "refused by the master"
	}
	w.cfg.Metrics.Registration(outcome, time.Since(start).Seconds())
	if err != nil {
		return nil, err // the port logs it
	}
	e := reg.Entry
	w.log.Info("New agent.", slog.String("agent", e.ID), slog.String("name", e.Name), slog.String("address", e.Address), slog.String("from", from))
	return reg, nil
}

// errNoMaster is that no attempt reached the master and brought an answer.
var errNoMaster = errors.New("the master does not answer")

func (w *Worker) register(ctx context.Context, r enrolment.Request) (*Registration, error) {
	for attempt := range w.cfg.Attempts {
		if attempt > 0 && !sleep(ctx, w.cfg.Pause) {
			break
		}
		reg, err := w.attempt(ctx, r)
		if reg != nil || errors.As(err, new(*enrolment.Refusal)) {
			w.away.Recovered(w.log, "The master answers registrations again.")
			return reg, err
		}
		if ctx.Err() == nil {
			w.away.Fail(w.log, slog.LevelError, "The master does not answer a registration.", slog.Any("err", err))
		}
	}
	return nil, errNoMaster
}

// attempt asks once. An error that is no *enrolment.Refusal says that it may be
// asked again.
func (w *Worker) attempt(ctx context.Context, r enrolment.Request) (*Registration, error) {
	message := r.Addition()
	message.Arguments.Held = w.cfg.PeerHas(Feature)
	asked := time.Now()
	data, err := w.ask(ctx, message)
	if err != nil {
		return nil, err
	}
	answer, err := enrolment.ParseAdded(data)
	if err != nil {
		return nil, err
	}
	// Name and address need not be in the answer (docs/enrolment.md §10).
	entry := keystore.Entry{ID: answer.ID, Name: r.Name, Address: r.Address, Secret: answer.Key, Added: time.Now()}
	if address, err := enrolment.ParseAddress(r.Address); err == nil {
		entry.Address = address.Stored
	}
	held := message.Arguments.Held
	if held {
		if err := w.inTime(ctx, entry.ID, asked); err != nil {
			return nil, err
		}
	}
	w.learn(entry)
	return &Registration{
		Entry: entry, Address: r.Address,
		delivered: func() {
			if held {
				w.confirms.later(entry.ID)
			}
		},
		lost: func(ctx context.Context) { w.lose(ctx, entry) },
	}, nil
}

// inTime makes sure that the key of an agent, which was asked for at the time
// asked, may be handed over now. The error is as of attempt.
func (w *Worker) inTime(ctx context.Context, id string, asked time.Time) error {
	for range w.cfg.Attempts {
		if time.Since(asked) <= lateTime {
			return nil
		}
		asked = time.Now()
		if err := w.confirms.keep(ctx, id); err != nil {
			return err
		}
	}
	return enrolment.NoMaster() // who asks again now makes it no better
}

func (w *Worker) ask(ctx context.Context, m enrolment.Message) ([]byte, error) {
	return w.cfg.Ask(ctx, askClient, m.Envelope())
}

var errNoFeature = errors.New("the master knows no held registrations, or is away")

// askTestudo asks what a 4.7.5 master must not be asked.
func (w *Worker) askTestudo(ctx context.Context, m enrolment.Message) ([]byte, error) {
	if !w.cfg.PeerHas(Feature) {
		return nil, errNoFeature
	}
	return w.ask(ctx, m)
}

// learn makes this node know the key. Without that it knows it with the next
// integrity check.
func (w *Worker) learn(e keystore.Entry) {
	if w.cfg.Learn == nil {
		return
	}
	if err := w.cfg.Learn(e); err != nil {
		w.unlearned.Fail(w.log, slog.LevelWarn, "This node knows a new key with the next integrity check only.",
			slog.String("agent", e.ID), slog.Any("err", err))
		return
	}
	w.unlearned.Recovered(w.log, "This node knows new keys at once again.")
}

// lose has the master take back a key whose agent has not got the answer.
func (w *Worker) lose(ctx context.Context, e keystore.Entry) {
	m := enrolment.Message{Function: enrolment.FunctionRemove, Arguments: enrolment.Arguments{ID: e.ID, Purge: true}}
	var last error
	for attempt := range w.cfg.Attempts {
		if attempt > 0 && !sleep(ctx, w.cfg.Pause) {
			break
		}
		data, err := w.ask(ctx, m)
		if err != nil {
			last = err
			continue
		}
		answer, err := enrolment.ParseAnswer(data)
		switch {
		case err != nil:
			last = err
		case answer.Refusal != nil && answer.Refusal.Code != enrolment.CodeUnknownID:
			last = answer.Refusal
		default:
			return // the port has logged it
		}
		break
	}
	w.log.Warn("An agent did not get its key, which could not be taken back.", slog.String("agent", e.ID),
		slog.String("name", e.Name), slog.Any("err", last))
}
