package simulate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"testudo/internal/config"
	"testudo/internal/nodedb"
)

// node is one node of the cluster.
type node struct {
	name   string
	home   string // empty when only its socket is known
	socket string
	master bool
}

var (
	// ErrNoMaster is returned when homes of workers are given, but not their
	// master's.
	ErrNoMaster = errors.New("the master is not among the nodes")
	// ErrTwice is returned when two of the nodes have one name.
	ErrTwice = errors.New("two nodes have the same name")
)

// resolve finds out what the nodes are. The master comes first.
func resolve(ctx context.Context, given []string) ([]node, error) {
	nodes := make([]node, 0, len(given))
	master, worker := -1, false
	names := map[string]string{}
	for _, text := range given {
		n, err := resolveOne(ctx, text)
		if err != nil {
			return nil, err
		}
		if before, ok := names[n.name]; ok {
			return nil, fmt.Errorf("%w: %s and %s are both called %s", ErrTwice, before, text, n.name)
		}
		names[n.name] = text
		if n.master {
			if master >= 0 {
				return nil, fmt.Errorf("%s and %s are both masters; simulate in one cluster at a time", nodes[master].name, n.name)
			}
			master = len(nodes)
		} else if n.home != "" {
			worker = true
		}
		nodes = append(nodes, n)
	}
	switch {
	case master < 0 && worker:
		return nil, ErrNoMaster
	case master < 0: // sockets alone: the first is the master
		master = 0
		nodes[0].master = true
	}
	nodes[0], nodes[master] = nodes[master], nodes[0]
	return nodes, nil
}

func resolveOne(ctx context.Context, text string) (node, error) {
	path, err := filepath.Abs(text)
	if err != nil {
		return node{}, fmt.Errorf("path of %s: %w", text, err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return node{}, fmt.Errorf("look for the node: %w", err)
	case info.Mode().Type() == os.ModeSocket:
		return resolveSocket(ctx, path)
	case !info.IsDir():
		return node{}, fmt.Errorf("%s is neither the home of a node nor a socket", path)
	}
	cfg, problems := config.Load(config.LoadOptions{Home: path})
	for _, p := range problems {
		if p.Severity == config.SeverityError {
			return node{}, fmt.Errorf("read the configuration of %s: %s", path, p)
		}
	}
	return node{
		name: cfg.Cluster.NodeName, home: path, socket: filepath.Join(path, nodedb.SocketPath),
		master: cfg.Cluster.Role == config.Master,
	}, nil
}

// resolveSocket asks the database itself for its node's name, which the node
// keeps in the row of agent 0. The configuration of a home around it is the next
// best.
func resolveSocket(ctx context.Context, path string) (node, error) {
	conn, err := nodedb.Dial(ctx, path)
	if err != nil {
		return node{}, err
	}
	defer conn.Close()
	rows, err := nodedb.Query[struct {
		Name string `json:"node_name"`
	}](ctx, conn, "SELECT node_name FROM agent WHERE id = 0")
	if err != nil {
		return node{}, err
	}
	n := node{name: path, socket: path}
	if len(rows) > 0 && rows[0].Name != "" && rows[0].Name != "unknown" {
		n.name = rows[0].Name
	} else if home, ok := strings.CutSuffix(path, "/"+nodedb.SocketPath); ok {
		if cfg, _ := config.Load(config.LoadOptions{Home: home}); cfg.Cluster.Present {
			n.name = cfg.Cluster.NodeName
		}
	}
	return n, nil
}

// client is a connection to a node's database that is made again when it is
// lost, as when the node is started anew. It is for one goroutine.
type client struct {
	node  *node
	conn  *nodedb.Conn
	again int // connections after the first
}

func dial(ctx context.Context, n *node) (*client, error) {
	conn, err := nodedb.Dial(ctx, n.socket)
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", n.name, err)
	}
	return &client{node: n, conn: conn}, nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
	}
}

const (
	firstPause = 20 * time.Millisecond
	longPause  = time.Second
)

// with lets work use the connection, and another one each time it is lost, until
// ctx ends: what a simulation asks for may be asked for twice.
func (c *client) with(ctx context.Context, work func(*nodedb.Conn) error) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := c.reconnect(ctx)
		if err == nil {
			if err = work(c.conn); !errors.Is(err, nodedb.ErrLost) {
				return err
			}
		}
		if c.conn != nil {
			c.conn.Close()
			c.conn = nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("database of %s: %w", c.node.name, errors.Join(context.Cause(ctx), err))
		}
	}
}

func (c *client) reconnect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	conn, err := nodedb.Dial(ctx, c.node.socket)
	if err != nil {
		return err
	}
	c.conn = conn
	c.again++
	return nil
}

// do sends a command.
func (c *client) do(ctx context.Context, command string) error {
	return c.with(ctx, func(conn *nodedb.Conn) error { return conn.Do(ctx, command) })
}

// query asks for rows by SQL.
func query[R any](ctx context.Context, c *client, statement string) (rows []R, err error) {
	err = c.with(ctx, func(conn *nodedb.Conn) error {
		rows, err = nodedb.Query[R](ctx, conn, statement)
		return err
	})
	return rows, err
}

// count is query for one number, called n.
func count(ctx context.Context, c *client, statement string) (int, error) {
	rows, err := query[struct{ N int }](ctx, c, statement)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].N, nil
}
