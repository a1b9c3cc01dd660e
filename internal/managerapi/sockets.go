package managerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"path"
	"syscall"

	"testudo/internal/fault"
	"testudo/internal/unixsock"
)

// Sockets of daemons, in the home.
const (
	sockets       = "queue/sockets/"
	comSocket     = sockets + "com" // of the daemon that executes commands
	remoteSocket  = sockets + "remote"
	analysisSock  = sockets + "analysis"
	databaseSock  = "queue/db/wdb"
	executeSocket = "queue/alerts/execq"
)

// mostAnswer bounds the answer of a daemon; the active rules of a large
// installation are some MiB.
const mostAnswer = 32 << 20

// missing tells that nobody has made the socket.
var errNoSocket = errors.New("no such socket")

// ask sends one message to a daemon and gives the answer. Errors: errNoSocket for
// a socket that is not there, fault.SocketRefused (internal) for one that nobody
// listens at, fault.SocketTalk for a conversation that broke off, and that of
// ctx.
func (a *API) ask(ctx context.Context, socket string, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.cfg.Talk, fault.New(fault.RequestTimeout, path.Base(socket)))
	defer cancel()
	limits := unixsock.DefaultLimits()
	limits.Message, limits.Reply, limits.Read, limits.Write = mostAnswer, mostAnswer, a.cfg.Talk, a.cfg.Talk
	client, err := unixsock.Dial(ctx, a.path(socket), unixsock.LengthPrefix(), limits)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoSocket
	default:
		return nil, refusedBy(ctx, socket, err)
	}
	answer, err := client.Call(ctx, message)
	if closing := client.Close(); err == nil && closing != nil && !errors.Is(closing, net.ErrClosed) {
		err = closing
	}
	if err != nil {
		if stop := stopped(ctx); stop != nil {
			return nil, stop
		}
		return nil, &fault.Error{Code: fault.SocketTalk, Class: fault.ClassException, Extra: "the conversation broke off", Err: err}
	}
	return answer, nil
}

func refusedBy(ctx context.Context, socket string, err error) error {
	if stop := stopped(ctx); stop != nil {
		return stop
	}
	return &fault.Error{
		Code: fault.SocketRefused, Class: fault.ClassInternal,
		Extra: "Socket '" + path.Base(socket) + "' cannot receive connections", Err: err,
	}
}

// message is a request in the JSON language of daemons.
type message struct {
	Version    int            `json:"version"`
	Origin     messageOrigin  `json:"origin"`
	Command    string         `json:"command"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

type messageOrigin struct {
	Module string `json:"module"`
}

func newMessage(command string, parameters map[string]any) ([]byte, error) {
	return json.Marshal(message{1, messageOrigin{"API"}, command, parameters})
}

// daemonAnswer is the answer to it.
type daemonAnswer struct {
	Error   *int            `json:"error"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// errAnswer says that a daemon's answer is not of its language.
var errAnswer = fault.New(fault.ComponentFailed, "Data could not be received")

func readAnswer(data []byte) (daemonAnswer, error) {
	var answer daemonAnswer
	if err := json.Unmarshal(data, &answer); err != nil || answer.Error == nil {
		return answer, errAnswer
	}
	return answer, nil
}

// spoken parts an answer of the text language: a word, and what follows.
func spoken(answer []byte) (word string, rest []byte, err error) {
	head, rest, found := bytes.Cut(answer, []byte(" "))
	if !found {
		return "", nil, errAnswer
	}
	return string(head), rest, nil
}

// send puts one datagram into a daemon's queue. The error is the system's.
func (a *API) send(ctx context.Context, socket string, datagram []byte) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixgram", a.path(socket))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.SetWriteDeadline(a.cfg.Now().Add(a.cfg.Talk)); err != nil {
		return errors.Join(err, conn.Close())
	}
	_, err = conn.Write(datagram)
	return errors.Join(err, conn.Close())
}

// gone tells whether a socket is not there, rather than silent.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }
