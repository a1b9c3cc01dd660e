package interop

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// socket is where a node's agent database answers, whoever serves it.
const socket = "queue/db/wdb"

// conversation is a connection to an agent database. The framing stands here a
// second time on purpose (docs/agentdb.md §2).
type conversation struct{ conn net.Conn }

func (n *node) dialDatabase() (*conversation, error) {
	conn, err := net.DialTimeout("unix", filepath.Join(n.home, socket), 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", n, err)
	}
	return &conversation{conn}, nil
}

// ask sends a request and splits the answer into its first word and the rest.
func (c *conversation) ask(request string) (word, payload string, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", "", err
	}
	message := binary.LittleEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := c.conn.Write(append(message, request...)); err != nil {
		return "", "", err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return "", "", err
	}
	answer := make([]byte, binary.LittleEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, answer); err != nil {
		return "", "", err
	}
	word, payload, _ = strings.Cut(string(answer), " ")
	return word, payload, nil
}

// errRefused is returned for an answer that is not "ok".
var errRefused = errors.New("the database refuses")

// tell sends a request that must be answered "ok" and returns what is behind it.
func (c *conversation) tell(request string) (string, error) {
	word, payload, err := c.ask(request)
	if err == nil && word != "ok" {
		err = fmt.Errorf("%w: %s %s", errRefused, word, payload)
	}
	if err != nil {
		return "", fmt.Errorf("%.100s: %w", request, err)
	}
	return payload, nil
}

// tell is that for a single request.
func (n *node) tell(request string) string {
	n.cluster.t.Helper()
	c, err := n.dialDatabase()
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	defer c.conn.Close()
	payload, err := c.tell(request)
	if err != nil {
		n.cluster.t.Fatalf("%s: %v", n, err)
	}
	return payload
}

// tellAll sends many requests over a few connections.
func (n *node) tellAll(requests []string) {
	t := n.cluster.t
	t.Helper()
	const connections = 6
	work := make(chan string)
	var asking sync.WaitGroup
	for range min(connections, len(requests)) {
		asking.Go(func() {
			c, err := n.dialDatabase()
			if err != nil {
				t.Error(err)
			} else {
				defer c.conn.Close()
			}
			for request := range work {
				if err != nil {
					continue // so that nobody waits for this one
				}
				if _, err = c.tell(request); err != nil {
					t.Errorf("%s: %v", n, err)
				}
			}
		})
	}
	for _, request := range requests {
		work <- request
	}
	close(work)
	asking.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// row is one row of a table, by column; a column that is NULL is absent.
type row map[string]any

// rows reads the rows of a statement.
func (n *node) rows(statement string) ([]row, error) {
	c, err := n.dialDatabase()
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	return c.rows(statement)
}

func (c *conversation) rows(statement string) (rows []row, err error) {
	payload, err := c.tell("global sql " + statement)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(payload), &rows); err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	return rows, nil
}

// rowsOfAgents calls f with the rows of a statement, which holds AGENTS as its
// condition on the column id, for some agents at a time.
func (c *conversation) rowsOfAgents(statement string, f func(id int, r row)) error {
	last, err := c.rows("SELECT max(id) AS id FROM agent")
	if err != nil {
		return err
	}
	const atATime = 50 // an answer longer than 64 KiB would be cut
	for id := 1; id <= number(last[0]["id"]); id += atATime {
		rows, err := c.rows(strings.ReplaceAll(statement, "AGENTS", fmt.Sprintf("BETWEEN %d AND %d", id, id+atATime-1)))
		if err != nil {
			return err
		}
		for _, r := range rows {
			f(number(r["id"]), r)
		}
	}
	return nil
}

func number(v any) int {
	f, _ := v.(float64)
	return int(f)
}
