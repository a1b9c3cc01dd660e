package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/session"
)

// WorkerConfig is what a worker needs to find its master.
type WorkerConfig struct {
	Hello   session.Hello
	Master  string // host name or address
	Port    int
	Session session.Config

	KeepAlive time.Duration // period; 0 means a minute
	MaxFailed int           // keep-alives that may fail in a row, at least 1
	Retry     time.Duration // longest pause before connecting again; 0 means 10 s

	// Plain keeps to the 4.7.5 protocol even with a Testudo master.
	Plain bool

	// Dial replaces the network, in tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	Log     *slog.Logger
	Metrics *metrics.Set
}

// Worker keeps a session with its master.
type Worker struct {
	cfg       WorkerConfig
	exchanges []Exchange
	trouble   logging.Recurring
	troubles  troubles
	connected atomic.Int64 // unix nanoseconds since when, 0 when not
}

// NewWorker returns a worker that offers the exchanges to its master.
func NewWorker(cfg WorkerConfig, exchanges ...Exchange) *Worker {
	cfg.KeepAlive = orDefault(cfg.KeepAlive, time.Minute)
	cfg.Retry = orDefault(cfg.Retry, 10*time.Second)
	cfg.MaxFailed = max(cfg.MaxFailed, 1)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	shareTokens(&cfg.Session)
	if cfg.Dial == nil {
		d := net.Dialer{Timeout: 20 * time.Second, KeepAliveConfig: keepAlive, Control: controlSocket}
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return &Worker{cfg: cfg, exchanges: exchanges}
}

// Connected is since when the worker has a master; the zero time when it has
// none.
func (w *Worker) Connected() time.Time {
	if at := w.connected.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Run connects, and connects again when the session ends, until ctx ends. The
// pause grows from a tenth of Retry to between a third and all of it, by
// chance, so that many workers do not come back as one. It starts anew after a
// session that lasted at least Retry.
func (w *Worker) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = max(w.cfg.Retry/10, 10*time.Millisecond)
	pause.MaxInterval = w.cfg.Retry * 2 / 3 // half of it is added or taken away
	pause.Reset()
	for ctx.Err() == nil {
		began := time.Now()
		welcome := w.connect(ctx)
		if welcome && time.Since(began) >= w.cfg.Retry {
			pause.Reset()
		}
		wait(ctx, min(pause.NextBackOff(), w.cfg.Retry))
	}
	return nil
}

// attempt is one connection to the master. Its fields are written by a task of
// the session and read when the session has ended.
type attempt struct {
	accepted chan struct{} // closed when both ends know each other
	welcome  bool          // the master has accepted our hello
	refused  error         // why not, when it answered
}

// connect is one try: it returns when the session has ended, and says whether
// the master had accepted us.
func (w *Worker) connect(ctx context.Context) (welcome bool) {
	log := w.cfg.Log
	address := net.JoinHostPort(w.cfg.Master, strconv.Itoa(w.cfg.Port))
	conn, err := w.cfg.Dial(ctx, address)
	if err != nil {
		if ctx.Err() == nil {
			w.undialled(address, err)
			w.trouble.Fail(log, slog.LevelError, dialLine(err, w.cfg.Retry),
				slog.String("master", address))
		}
		return false
	}
	s := session.New(conn, w.cfg.Session)
	mux := session.NewMux()
	mux.HandleControl("echo-m", func(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
		return session.Reply{Command: "ok-c", Payload: payload}, nil
	})
	work := offerAll(w.exchanges, s, mux)
	s.Establish(w.cfg.Hello, mux, log)
	try := &attempt{accepted: make(chan struct{})}
	s.Go(func(ctx context.Context) {
		if err := w.introduce(ctx, s, try); err != nil {
			s.Close(err)
			return
		}
		close(try.accepted)
		w.keepAlive(ctx, s)
	})
	for _, task := range work {
		s.Go(func(ctx context.Context) {
			select {
			case <-try.accepted:
				task(ctx)
			case <-ctx.Done():
			}
		})
	}
	err = s.Run(ctx)
	w.connected.Store(0)
	if ctx.Err() == nil {
		w.ended(address, err, try)
		w.explain(err, try)
	}
	return try.welcome
}

// introduce says hello, and finds out what kind of node the master is.
func (w *Worker) introduce(ctx context.Context, s *session.Session, try *attempt) error {
	if err := s.SayHello(ctx, w.cfg.Hello); err != nil {
		if !errors.Is(err, session.ErrClosed) {
			try.refused = err
		}
		return fmt.Errorf("hello: %w", err)
	}
	try.welcome = true
	w.connected.Store(time.Now().UnixNano())
	w.troubles.over()
	w.trouble.Recovered(w.cfg.Log, "Connected to the master again.")
	w.cfg.Log.Info("Successfully connected to master.")
	if w.cfg.Plain {
		return nil
	}
	return s.Introduce(ctx)
}

// keepAlive proves to both ends that the session lives. A failed one is tried
// again at once.
func (w *Worker) keepAlive(ctx context.Context, s *session.Session) {
	log := w.cfg.Log.With(logging.Task("Keep Alive"))
	failed := 0
	for {
		if failed == 0 {
			wait(ctx, w.cfg.KeepAlive)
		}
		if ctx.Err() != nil {
			return
		}
		answer, err := s.RequestControl(ctx, "echo-c", []byte("keepalive"))
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failed = 0
			log.Info("Successful response from master: " + logging.Quote(string(answer)))
			continue
		}
		failed++
		log.Error("Error sending keep alive: " + logging.Quote(err.Error()))
		if failed >= w.cfg.MaxFailed {
			log.Error("Maximum number of failed keep alives reached. Disconnecting.")
			s.Close(errSilent)
			return
		}
	}
}

// explain logs why a session has ended, in words an operator can act upon.
func (w *Worker) explain(err error, try *attempt) {
	log := w.cfg.Log
	var remote *session.RemoteError
	switch {
	case errors.As(try.refused, &remote):
		w.trouble.Fail(log, slog.LevelError, "Could not connect to master: "+logging.Quote(remote.Error())+".", hint(remote.Fault, w.cfg.Hello)...)
	case try.refused != nil:
		w.trouble.Fail(log, slog.LevelError, "Could not connect to master: "+logging.Quote(fault.From(try.refused).Error())+".",
			slog.String("hint", "it takes connections but does not answer hello"))
	case !try.welcome && isClosed(err):
		w.trouble.Fail(log, slog.LevelError, "The master closed the connection",
			slog.String("hint", "it did not answer hello: the cluster keys of the two nodes probably differ, or its limit of connections is reached"))
	case errors.Is(err, io.EOF), errors.Is(err, errSilent):
		log.Info("The master closed the connection")
	default:
		w.trouble.Fail(log, slog.LevelError, "Connection closed due to an unhandled error: "+connectionText(err))
	}
}

// hint says what to do about a refused hello.
func hint(f *fault.Error, h session.Hello) []slog.Attr {
	switch f.Code {
	case fault.DuplicateName:
		return []slog.Attr{slog.String("hint", "another live worker is connected under the name "+h.Name+"; give each worker its own node_name")}
	case fault.SameAsMaster:
		return []slog.Attr{slog.String("hint", "this worker's node_name is the master's own")}
	case fault.WrongCluster:
		return []slog.Attr{slog.String("hint", "the master belongs to a cluster of another name; ours is "+h.Cluster)}
	case fault.WrongVersion:
		return []slog.Attr{slog.String("hint", "the master runs another version; we present "+h.Version+" (setting version in etc/testudo.yaml)")}
	}
	return nil
}
