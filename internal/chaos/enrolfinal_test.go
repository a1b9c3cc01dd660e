package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"testudo/internal/fleet"
	"testudo/internal/keyhistory"
	"testudo/internal/nodedb"
)

// final is what a node has: its keys and the agents of its database.
func final(ctx context.Context, n *fleet.Node) (keyhistory.Final, error) {
	keys, err := os.ReadFile(filepath.Join(n.Home, "etc/client.keys"))
	if err != nil {
		return keyhistory.Final{}, err
	}
	rows, err := agentRows(ctx, n)
	return keyhistory.Final{Node: n.Name, Keys: keys, Rows: rows}, err
}

func agentRows(ctx context.Context, n *fleet.Node) ([]keyhistory.Entry, error) {
	conn, err := nodedb.DialHome(ctx, n.Home)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	rows := []keyhistory.Entry{}
	for last := 0; ; {
		payload, _, err := conn.Call(ctx, fmt.Sprintf("global sql SELECT id, name, register_ip, internal_key FROM agent WHERE id > %d ORDER BY id LIMIT %d", last, askedAt))
		if err != nil {
			return nil, err
		}
		var some []struct {
			ID      int    `json:"id"`
			Name    string `json:"name"`
			Address string `json:"register_ip"`
			Key     string `json:"internal_key"`
		}
		if err := json.Unmarshal(payload, &some); err != nil {
			return nil, fmt.Errorf("%w: %.100s", err, payload)
		}
		if len(some) == 0 {
			return rows, nil
		}
		for _, r := range some {
			rows = append(rows, keyhistory.Entry{ID: fmt.Sprintf("%03d", r.ID), Name: r.Name, Address: r.Address, Key: r.Key})
			last = r.ID
		}
	}
}

// verdict waits until the nodes agree, judges the history by what they have, and
// returns that.
func (e *enrolling) verdict() []keyhistory.Final {
	e.t.Helper()
	for _, n := range e.f.Nodes() {
		if err := n.WaitReady(within(e.t, time.Minute)); err != nil {
			e.t.Fatalf("%v; its log ends:\n%s", err, tail(n, 20))
		}
	}
	var findings []keyhistory.Finding
	patience := time.Now().Add(time.Minute) // a worker may hold on to a key that it has learnt for half of that
	for {
		var finals []keyhistory.Final
		var failed error
		for _, n := range e.f.Nodes() {
			f, err := final(e.t.Context(), n)
			if err != nil {
				failed = fmt.Errorf("%s: %w", n.Name, err)
			}
			finals = append(finals, f)
		}
		if findings = e.h.Check(finals...); len(findings) == 0 && failed == nil {
			return finals
		}
		if time.Now().After(patience) {
			e.t.Error(failed)
			break
		}
		pause(e.t, 500*time.Millisecond)
	}
	for _, f := range findings[:min(len(findings), 20)] {
		e.t.Error(f)
	}
	e.t.Fatalf("%d findings; the master's log ends:\n%s", len(findings), tail(e.f.Master(), 20))
	return nil
}

// sees looks whether the verdict would find that a key is lost which nobody has
// asked to be removed.
func (e *enrolling) sees(finals []keyhistory.Final) {
	e.t.Helper()
	for _, gone := range slices.Backward(e.done) {
		line := []byte(gone.ID + " " + gone.Name + " " + gone.Address + " " + gone.Key + "\n")
		if !bytes.Contains(finals[0].Keys, line) {
			continue
		}
		spoilt := slices.Clone(finals)
		for i, f := range finals {
			spoilt[i] = keyhistory.Final{Node: f.Node, Keys: bytes.Replace(f.Keys, line, nil, 1)}
		}
		if findings := e.h.Check(spoilt...); len(findings) == 1 && findings[0].Kind == keyhistory.Lost {
			return
		}
	}
	e.t.Error("it finds no key that is lost")
}
