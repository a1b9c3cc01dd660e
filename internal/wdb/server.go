package wdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"time"

	"testudo/internal/agentdb"
	"testudo/internal/config"
	"testudo/internal/inventory"
	"testudo/internal/metrics"
	"testudo/internal/unixsock"
)

// Options is where the socket is and what its clients may do. Zero values are
// replaced by those named.
type Options struct {
	Path     string      // the socket: HOME/queue/db/wdb
	Mode     fs.FileMode // 0660
	UID, GID int         // its owner; below 0 stays as it is

	Connections  int           // open at a time; 1024
	MessageBytes int           // of one request, at least 65536
	MessageTime  time.Duration // from a message's first byte to its last, either way; 10 s
	QueryTime    time.Duration // of one request; those that work on the whole file have 20 times as much; 30 s
	Requests     int           // under way at a time; 256
	Queries      int           // of these, statements of "global sql"; 3
	AgentQueries int           // and of "agent ID sql"; 8
	SQLWrites    bool          // "sql" may write

	// What the JSON commands tell.
	Backup   config.Backup
	Internal config.DatabaseOptions

	Log     *slog.Logger
	Metrics *metrics.Set
}

func (o Options) withDefaults() Options {
	orDefault(&o.Mode, 0o660)
	orDefault(&o.Connections, 1024)
	o.MessageBytes = max(o.MessageBytes, requestBytes)
	orDefault(&o.MessageTime, 10*time.Second)
	orDefault(&o.QueryTime, 30*time.Second)
	orDefault(&o.Requests, 256)
	orDefault(&o.Queries, 3)
	orDefault(&o.AgentQueries, 8)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server answers the requests of the database socket.
type Server struct {
	o       Options
	store   *agentdb.Store
	inv     *inventory.Store
	actors  map[string]*actor
	started time.Time
	socket  *unixsock.Server

	requests     *turns
	queries      *turns // of these, statements of "global sql"
	agentQueries *turns // and of "agent ID sql"
}

// NewServer makes a server over the databases of one node. inv may be nil: then
// no agent's own database can be opened.
func NewServer(store *agentdb.Store, inv *inventory.Store, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		o: o, store: store, inv: inv, started: time.Now(),
		requests: newTurns(o.Requests), queries: newTurns(o.Queries), agentQueries: newTurns(o.AgentQueries),
	}
	s.socket = unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{
		Message: o.MessageBytes, Reply: replyBytes, Connections: o.Connections,
		Read: o.MessageTime, Write: o.MessageTime,
	}, o.Log)
	s.socket.Watch(s.o.Metrics.WDBConnections)
	s.actors = s.table()
	return s
}

// Run serves the socket until ctx ends and all clients are gone.
func (s *Server) Run(ctx context.Context) error {
	ln, err := s.Listen()
	if err != nil {
		return err
	}
	return s.Serve(ctx, ln)
}

// Listen makes the socket; the error is unixsock.ErrInUse when another process
// serves it.
func (s *Server) Listen() (*unixsock.Listener, error) {
	ln, err := unixsock.Listen(s.o.Path, s.o.Mode, s.o.UID, s.o.GID)
	if err != nil {
		return nil, fmt.Errorf("database socket: %w", err)
	}
	return ln, nil
}

// Serve is Run for a socket that Listen made.
func (s *Server) Serve(ctx context.Context, ln *unixsock.Listener) error {
	if err := s.socket.Serve(ctx, ln, s.handle); err != nil {
		return fmt.Errorf("database socket: %w", err)
	}
	return nil
}

// Stats says what the socket has met.
func (s *Server) Stats() unixsock.Stats { return s.socket.Stats() }

// handle answers one message.
func (s *Server) handle(ctx context.Context, conn *unixsock.Conn, message []byte) []byte {
	if len(message) == 0 {
		conn.Hangup()
		return nil
	}
	started := time.Now()
	text, line := cleanRequest(message)
	r, who := s.attend(ctx, text)
	if line && len(r) < replyBytes-1 {
		r = append(r, '\n')
	}
	s.o.Metrics.WDBRequest(who, r.failed(), time.Since(started).Seconds())
	return r[:min(len(r), replyBytes)]
}

// attend waits for a turn and answers.
func (s *Server) attend(ctx context.Context, text string) (r reply, who string) {
	release, err := s.requests.take(ctx, s.o.QueryTime)
	if err != nil {
		return fail("Too many requests are under way"), "none"
	}
	defer func() {
		release()
		// The mistake is ours, and costs one client one answer.
		if v := recover(); v != nil {
			s.o.Log.Error("A request on the database socket broke off.", "panic", v, "stack", string(debug.Stack()))
			r, who = fail("Internal error"), "none"
		}
	}()
	return s.answer(ctx, text)
}

// broken is the reply for an error of the agent database.
func (s *Server) broken(err error) reply {
	const what = "Cannot execute Global database query; "
	if q, is := errors.AsType[*agentdb.QueryError](err); is {
		return fail(what + q.Text)
	}
	switch {
	case errors.Is(err, agentdb.ErrClosed):
		return fail("Couldn't open DB global")
	case errors.Is(err, agentdb.ErrWriteRefused):
		return fail(what + "statements that write are refused here (setting agentdb.sql_writes)")
	case errors.Is(err, context.DeadlineExceeded):
		return fail(what + "interrupted after " + s.o.QueryTime.String() + " (setting agentdb.query_time)")
	case errors.Is(err, context.Canceled):
		return fail(what + "interrupted, the node is stopping")
	}
	return fail(what + err.Error())
}

// done is the reply for an effect without rows.
func (s *Server) done(err error) reply {
	if err != nil {
		return s.broken(err)
	}
	return ok()
}

// rows is the reply for a query.
func (s *Server) rows(p agentdb.Page, err error) reply {
	if err != nil {
		return s.broken(err)
	}
	return page(p)
}

// orText is the reply for an effect whose failure has a text of its own.
func (s *Server) orText(err error, text string) reply {
	if err != nil {
		s.o.Log.Debug("A request on the database socket failed.", "reply", text, "err", err)
		return fail(text)
	}
	return ok()
}
