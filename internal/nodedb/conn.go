package nodedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"testudo/internal/unixsock"
)

const (
	// SocketPath is where a node serves its database, relative to its home.
	SocketPath = "queue/db/wdb"
	// FilePath is the database itself.
	FilePath = "queue/db/global.db"

	// replyBytes is the longest reply, which the original cuts longer ones to.
	replyBytes = 65536
	// MaxRequest is the longest request a server takes, in bytes.
	MaxRequest = 65536
	// writeTime is how long a server may take to read a request.
	writeTime = 30 * time.Second
)

var (
	// ErrNobody is returned when no process serves a node's database.
	ErrNobody = errors.New("nobody serves the database")
	// ErrLost is returned when the connection failed, so that it is not known
	// whether the command was carried out.
	ErrLost = errors.New("lost the database")
)

// RefusedError is a reply "err TEXT".
type RefusedError struct {
	Command string // the beginning of what was asked, without its data
	Text    string
}

func (e *RefusedError) Error() string { return e.Command + ": " + e.Text }

// Conn is one connection to a database. Calls wait for one another. After an
// ErrLost it is of no use.
type Conn struct {
	client *unixsock.Client
	path   string
}

// Dial connects to the socket at path. The error is ErrNobody when there is no
// socket, or a dead one.
func Dial(ctx context.Context, path string) (*Conn, error) {
	client, err := unixsock.Dial(ctx, path, unixsock.LengthPrefix(), unixsock.Limits{
		Message: replyBytes, Reply: MaxRequest, Write: writeTime,
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%s: %w", path, ErrNobody)
	case err != nil:
		return nil, err
	}
	return &Conn{client: client, path: path}, nil
}

// DialHome connects to the database of the node that lives in a directory.
func DialHome(ctx context.Context, home string) (*Conn, error) {
	return Dial(ctx, filepath.Join(home, SocketPath))
}

// Call sends a command and returns what follows the reply's first word: of "ok"
// and of "due", for which more is true. "err" is a *RefusedError.
func (c *Conn) Call(ctx context.Context, command string) (payload []byte, more bool, err error) {
	reply, err := c.client.Call(ctx, []byte(command))
	switch {
	case errors.Is(err, unixsock.ErrTooLong) && len(command) > MaxRequest:
		return nil, false, fmt.Errorf("%s: %w", firstWords(command), err)
	case err != nil:
		return nil, false, fmt.Errorf("%w at %s: %w", ErrLost, c.path, err)
	}
	word, payload, _ := bytes.Cut(reply, []byte(" "))
	switch string(word) {
	case "ok":
		return payload, false, nil
	case "due":
		return payload, true, nil
	case "err":
		return nil, false, &RefusedError{Command: firstWords(command), Text: string(payload)}
	}
	return nil, false, fmt.Errorf("ask the database at %s: the reply begins with %.20q", c.path, reply)
}

// Do is Call for a command whose payload does not matter.
func (c *Conn) Do(ctx context.Context, command string) error {
	_, _, err := c.Call(ctx, command)
	return err
}

// Close ends the connection and a call that is under way.
func (c *Conn) Close() error { return c.client.Close() }

// firstWords are actor and verb: what follows may hold secrets.
func firstWords(command string) string {
	words := strings.SplitN(command, " ", 3)
	return strings.Join(words[:min(len(words), 2)], " ")
}
