package nodedb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
)

// Origin says where a Reader has its answers from.
type Origin string

// The origins.
const (
	Served Origin = "node"    // a Testudo node, by its own verbs
	Asked  Origin = "service" // another database service, by SQL
	File   Origin = "file"    // the file, which nobody serves
)

// backend is one origin.
type backend interface {
	// list hands over agents in the order of their ids and tells how many pass the
	// filter, whatever its After and Limit are.
	list(ctx context.Context, f Filter, each func(Agent) error) (total int, err error)
	counts(ctx context.Context) (Counts, error)
	close() error
}

// Reader reads the agents of one node. It is safe for concurrent use.
type Reader struct {
	conn *Conn // nil for a file
	file *fileBackend

	mu     sync.Mutex
	origin Origin // until the first answer of a socket, Served
}

// Open prepares to read the database of the node that lives in a directory:
// through its socket, else from its file. The error is ErrNobody when there is
// neither.
func Open(ctx context.Context, home string) (*Reader, error) {
	conn, err := DialHome(ctx, home)
	if err == nil {
		return &Reader{conn: conn, origin: Served}, nil
	}
	if !errors.Is(err, ErrNobody) {
		return nil, err
	}
	file, fileErr := openFile(ctx, filepath.Join(home, FilePath))
	if fileErr != nil {
		return nil, errors.Join(err, fileErr)
	}
	return &Reader{file: file, origin: File}, nil
}

// OpenSocket is Open for a socket alone.
func OpenSocket(ctx context.Context, path string) (*Reader, error) {
	conn, err := Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	return &Reader{conn: conn, origin: Served}, nil
}

// Origin is where the answers come from, certain after the first of them.
func (r *Reader) Origin() Origin {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.origin
}

// Close ends the reading.
func (r *Reader) Close() error {
	if r.file != nil {
		return r.file.close()
	}
	return r.conn.Close()
}

// List hands agents over in the order of their ids and tells how many pass the
// filter, whatever its After and Limit are. An error of each ends it and is
// returned.
func (r *Reader) List(ctx context.Context, f Filter, each func(Agent) error) (total int, err error) {
	err = r.ask(func(b backend) error {
		total, err = b.list(ctx, f, each)
		return err
	})
	return total, err
}

// Counts counts the agents by state and node.
func (r *Reader) Counts(ctx context.Context) (c Counts, err error) {
	err = r.ask(func(b backend) error {
		c, err = b.counts(ctx)
		return err
	})
	return c, err
}

// ask asks the best backend there is. That a service does not know our verbs
// shows in its first answer, before anything was handed over.
func (r *Reader) ask(question func(backend) error) error {
	if r.file != nil {
		return question(r.file)
	}
	if r.Origin() == Served {
		err := question(verbs{r.conn})
		if !unknownVerb(err) {
			return err
		}
		r.mu.Lock()
		r.origin = Asked
		r.mu.Unlock()
	}
	return question(queries{r.conn})
}

// unknownVerb says whether a service does not know a verb of ours.
func unknownVerb(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && strings.HasPrefix(refused.Text, "Invalid DB query syntax")
}

// verbs asks a Testudo node (docs/extensions.md).
type verbs struct{ conn *Conn }

// listRequest is the argument of list-agents.
type listRequest struct {
	Status  string `json:"status,omitempty"`
	Node    string `json:"node,omitempty"`
	Version string `json:"version,omitempty"`
	Group   string `json:"group,omitempty"`
	Name    string `json:"name,omitempty"`
	After   int64  `json:"after"`
	Limit   int    `json:"limit,omitempty"`
}

type listReply struct {
	Total  int     `json:"total"`
	Agents []Agent `json:"agents"`
}

// listPage is how many agents are asked for at a time; a reply may hold fewer.
const listPage = 1000

func (v verbs) list(ctx context.Context, f Filter, each func(Agent) error) (total int, err error) {
	request := listRequest{Status: f.Status, Node: f.Node, Version: f.Version, Group: f.Group, Name: f.Name, After: f.After}
	for given, first := 0, true; first || f.Limit == 0 || given < f.Limit; first = false {
		request.Limit = listPage
		if f.Limit > 0 {
			request.Limit = min(listPage, f.Limit-given)
		}
		reply, more, err := v.page(ctx, request)
		if err != nil {
			return total, err
		}
		if first {
			total = reply.Total
		}
		for _, a := range reply.Agents {
			if err := each(a); err != nil {
				return total, err
			}
		}
		given += len(reply.Agents)
		if len(reply.Agents) == 0 || !more && len(reply.Agents) < request.Limit {
			return total, nil
		}
		if request.After, err = idOf(reply.Agents[len(reply.Agents)-1]); err != nil {
			return total, fmt.Errorf("read the list of agents: %w", err)
		}
	}
	return total, nil
}

func (v verbs) page(ctx context.Context, request listRequest) (reply listReply, more bool, err error) {
	text, err := json.Marshal(request)
	if err != nil {
		return reply, false, fmt.Errorf("write the filter: %w", err)
	}
	payload, more, err := v.conn.Call(ctx, "global list-agents "+string(text))
	if err != nil {
		return reply, false, err
	}
	if err := json.Unmarshal(payload, &reply); err != nil {
		return reply, false, fmt.Errorf("read the list of agents: %w", err)
	}
	return reply, more, nil
}

func (v verbs) counts(ctx context.Context) (c Counts, err error) {
	payload, _, err := v.conn.Call(ctx, "global count-agents")
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, fmt.Errorf("read the counts of agents: %w", err)
	}
	return c, nil
}

func (v verbs) close() error { return v.conn.Close() }
