package session

import (
	"context"
	"fmt"
)

// Reply names (docs/wire.md §5). A frame with one of these names is never
// answered: two peers that answered each other's errors would do so for ever.
const (
	replyOK     = "ok"
	replyErr    = "err"
	replyMaster = "ok-m"
	replyWorker = "ok-c"
)

// IsReply says whether a command is the name of a reply.
func IsReply(command string) bool {
	switch command {
	case replyOK, replyErr, replyMaster, replyWorker:
		return true
	}
	return false
}

// Reply is what a handler answers.
type Reply struct {
	Command string
	Payload []byte
}

// OK is the reply "ok" with a payload.
func OK[T string | []byte](payload T) Reply { return Reply{replyOK, []byte(payload)} }

// Handler answers one request. An error becomes an "err" reply: as plain text
// when it is a PlainError, in the error JSON of docs/wire.md §5.1 otherwise.
//
// The payload belongs to the session again when the handler returns. ctx ends
// with the session. A handler that needs the peer's answer to a request of its
// own starts a task with Session.Go: requests of one peer are handled in
// order, so waiting for the peer here would wait for itself.
type Handler func(ctx context.Context, s *Session, payload []byte) (Reply, error)

// LateHandler answers one request by calling respond, exactly once, whenever it
// can: also after it has returned, from a task of the session. Its payload is that
// of a Handler.
type LateHandler func(ctx context.Context, s *Session, payload []byte, respond func(Reply, error))

// PlainError is an error whose text goes to the peer as it is.
type PlainError string

func (e PlainError) Error() string { return string(e) }

// UnknownCommand is the answer to a command that has no handler.
func UnknownCommand(name string) PlainError {
	return PlainError(fmt.Sprintf("unknown command 'b'%s''", name))
}

type route struct {
	handle  Handler
	late    LateHandler // in the place of handle
	control bool
	unknown bool
	sealed  bool // taken in sealed frames only
}

// Mux finds the handler of a command, as http.ServeMux does for paths. It is
// filled before its session runs and not changed afterwards; each session has
// its own.
type Mux struct {
	routes   map[string]route
	features []string
}

// NewMux returns a mux that knows no command.
func NewMux() *Mux { return &Mux{routes: make(map[string]route)} }

// Offer tells a Testudo peer of a feature that only some nodes have.
func (m *Mux) Offer(feature string) { m.features = append(m.features, feature) }

// Handle registers the handler of a command. It panics when the command has
// one already, since that is a mistake in the program.
func (m *Mux) Handle(command string, h Handler) { m.add(command, route{handle: h}) }

// HandleControl registers a handler that runs ahead of all waiting requests,
// on the goroutine that reads the connection: it must not block.
func (m *Mux) HandleControl(command string, h Handler) {
	m.add(command, route{handle: h, control: true})
}

// HandleLate registers a handler whose reply comes when it is ready.
func (m *Mux) HandleLate(command string, h LateHandler) { m.add(command, route{late: h}) }

// handleSealed registers a handler of what must come sealed.
func (m *Mux) handleSealed(command string, h Handler) { m.add(command, route{handle: h, sealed: true}) }

func (m *Mux) add(command string, r route) {
	if _, twice := m.routes[command]; twice {
		panic("session: two handlers for " + command)
	}
	m.routes[command] = r
}

func (m *Mux) find(command string) route {
	if r, ok := m.routes[command]; ok {
		return r
	}
	return unknownRoute(command)
}

func unknownRoute(command string) route {
	return route{control: true, unknown: true, handle: func(context.Context, *Session, []byte) (Reply, error) {
		return Reply{}, UnknownCommand(command)
	}}
}
