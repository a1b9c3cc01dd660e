package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
	"testudo/internal/config"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
	"testudo/internal/fleet"
	"testudo/internal/nodekeys"
	"testudo/internal/screen"
)

// Enrolled is an agent that got its key from a worker.
type Enrolled struct {
	Agent    string             `json:"agent"`
	Node     string             `json:"node"`        // that it asked
	Answered float64            `json:"answered_ms"` // from the question, until it had its key
	Known    map[string]float64 `json:"known_ms"`    // until its key was in the file of each node
}

// enrolName is the name of the agent that enrols.
const enrolName = "tortoise-01"

// enrol has an agent ask a worker for a key, and looks for it on all nodes.
func (s *show) enrol(ctx context.Context) error {
	asked := s.fleet.Workers()[0]
	s.out.Linef("An agent, %s, asks %s for a key; the master gives it.", enrolName, asked.Name)
	nodes := s.fleet.Nodes()
	seen := make([]sighting, len(nodes))
	began := time.Now()
	looking, end := context.WithCancel(ctx)
	defer end()
	g, looking := errgroup.WithContext(looking)
	for i, n := range nodes {
		g.Go(func() (err error) {
			seen[i], err = awaitKey(looking, n, began)
			return err
		})
	}
	key, err := enrolport.Enrol(ctx, enrolport.ClientConfig{
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(asked.EnrolPort)),
		CA:      filepath.Join(asked.Home, config.AuthCertificatePath),
		Request: enrolment.Request{Name: enrolName, Version: "v4.7.5"},
	})
	answered := time.Since(began)
	if err != nil {
		end()
		_ = g.Wait() // they were told to end
		return err
	}
	if err := g.Wait(); err != nil {
		return err
	}
	e := &Enrolled{Agent: key.Text, Node: asked.Name, Answered: milliseconds(answered), Known: map[string]float64{}}
	for i, n := range nodes {
		if seen[i].key.Text != key.Text || !seen[i].key.Secret.Equal(key.Secret) {
			return fmt.Errorf("%s has another key for %s", n.Name, enrolName)
		}
		e.Known[n.Name] = milliseconds(seen[i].after)
	}
	s.result.Enrolled = e
	s.showEnrolled(key, nodes, e)
	return nil
}

// sighting is a key that was seen in the file of a node.
type sighting struct {
	key   agent.Key
	after time.Duration
}

// awaitKey waits until a node's file has the agent's key.
func awaitKey(ctx context.Context, n *fleet.Node, since time.Time) (found sighting, err error) {
	turn := time.NewTicker(lookEvery)
	defer turn.Stop()
	for {
		_, err := nodekeys.Each(n.Home, func(k agent.Key) {
			if k.Name == enrolName && !k.Removed {
				found = sighting{k, time.Since(since)}
			}
		})
		if err != nil || found.after > 0 {
			return found, err
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return found, fmt.Errorf("%s: the agent's key is not there: %w", n.Name, ctx.Err())
		}
	}
}

// showEnrolled shows the key on every node, by what cannot be used as one.
func (s *show) showEnrolled(key agent.Key, nodes []*fleet.Node, e *Enrolled) {
	s.out.Linef("  it is agent %s and has its key after %.0f ms; it can connect to any node where that is known:", e.Agent, e.Answered)
	rows := make([][]string, 0, len(nodes))
	for _, n := range nodes {
		rows = append(rows, []string{n.Name, n.Role, e.Agent, fingerprint(key.Secret), fmt.Sprintf("%.0f ms", e.Known[n.Name])})
	}
	s.out.Linef("\n%s", screen.Table([]screen.Column{
		{Title: "node"}, {Title: "role"}, {Title: "agent"}, {Title: "SHA-256 of its key"}, {Title: "there after", Right: true},
	}, rows, 0))
}

func fingerprint(key agent.Secret) string {
	sum := sha256.Sum256([]byte(key.Reveal()))
	return hex.EncodeToString(sum[:8]) + "..."
}
