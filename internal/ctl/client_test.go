package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/localsock"
	"testudo/internal/nodeinfo"
	"testudo/internal/shortdir"
	"testudo/internal/why"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running serves commands in a home of its own until the test ends.
func running(t *testing.T, c localsock.Commands) (home string) {
	t.Helper()
	home = shortdir.New(t)
	path := filepath.Join(home, socket)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	server := localsock.NewServer(localsock.Options{Path: path, Mode: 0o660, UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler)}, c)
	ln, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := server.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return home
}

// master answers what a master with one worker does.
func master() localsock.Commands {
	m := nodeinfo.NewMaster(nodeinfo.MasterConfig{
		Name: "m", Version: "4.7.5", Address: "192.0.2.1",
		Members: func() []cluster.Member {
			return []cluster.Member{{Name: "w1", Type: "worker", Version: "4.7.5", Address: "192.0.2.2"}}
		},
	})
	return localsock.Commands{
		Config: func() ([]byte, error) { return []byte(`{"name": "c", "node_name": "m", "key": "secret"}`), nil },
		Nodes:  m.GetNodes, Health: m.GetHealth,
		DAPI: func(_ context.Context, _ string, request []byte, take func(...[]byte) error) error {
			var asked struct {
				Args struct {
					Filters struct{ Status string }
				} `json:"f_kwargs"`
			}
			if err := json.Unmarshal(request, &asked); err != nil {
				return err
			}
			if asked.Args.Filters.Status == "bad" {
				return take(fault.New(fault.DaemonsNotReady, nil).JSON())
			}
			return take([]byte(`{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null, "result": {"items": [` +
				`{"id": "001", "name": "a", "status": "` + asked.Args.Filters.Status + `"}]}}}}`))
		},
	}
}

// relayed makes a worker of a master's commands.
func relayed(c localsock.Commands) localsock.Commands {
	c.Relayed = true
	return c
}

func TestClient(t *testing.T) {
	for role, commands := range map[string]localsock.Commands{"master": master(), "worker": relayed(master())} {
		t.Run(role, func(t *testing.T) {
			c := New(running(t, commands))
			var asked []string
			c.Trace = func(command string, _ []byte) { asked = append(asked, command) }
			if err := c.Running(t.Context()); err != nil {
				t.Fatal(err)
			}
			cfg, err := c.Config(t.Context())
			if cfg != (Config{Cluster: "c", Node: "m"}) || err != nil {
				t.Errorf("%+v, %v", cfg, err)
			}
			nodes, err := c.Nodes(t.Context(), nil)
			if len(nodes) != 2 || err != nil {
				t.Errorf("%+v, %v", nodes, err)
			}
			if nodes, err := c.Nodes(t.Context(), []string{}); len(nodes) != 0 || err != nil {
				t.Errorf("%+v, %v", nodes, err)
			}
			if _, err := c.Nodes(t.Context(), []string{"w9"}); !fault.Has(err, fault.NodeAbsent) || err.Error() != "Error 1730 - Node does not exist" {
				t.Error(err)
			}
			h, err := c.Health(t.Context(), []string{"w1"})
			if h.Workers != 1 || err != nil {
				t.Errorf("%+v, %v", h, err)
			}
			agents, err := c.Agents(t.Context(), nil, []string{"active"})
			if diff := cmp.Diff([]Agent{{ID: "001", Name: "a", Status: "active"}}, agents); diff != "" || err != nil {
				t.Error(diff, err)
			}
			if _, err := c.Agents(t.Context(), nil, []string{"bad"}); !fault.Has(err, fault.DaemonsNotReady) {
				t.Error(err)
			}
			if got := strings.Join(asked, " "); got != "get_config get_nodes get_nodes get_nodes get_health dapi dapi" {
				t.Error(got)
			}
		})
	}
}

func TestClient_NobodyThere(t *testing.T) {
	c := New(t.TempDir())
	_, err := c.Nodes(t.Context(), nil)
	for _, err := range []error{err, c.Running(t.Context())} {
		if !fault.Has(err, fault.NotRunning) {
			t.Error(err)
		}
	}
}

func TestClient_WorkerWithoutMaster(t *testing.T) {
	commands := relayed(master())
	commands.Connected = func() error { return fault.New(fault.NotConnected, nil) }
	c := New(running(t, commands))
	if _, err := c.Health(t.Context(), nil); !fault.Has(err, fault.NotConnected) {
		t.Error(err)
	}
}

// A node that does not know how to say why tells at least of health.
func TestClient_Why(t *testing.T) {
	commands := master()
	reports, err := New(running(t, commands)).Why(t.Context(), "w1")
	if err != nil || len(reports) != 1 || reports[0].Node != "w1" || reports[0].ToldBy != "m" {
		t.Errorf("of an original node: %+v, %v", reports, err)
	}
	commands.Why = func(_ context.Context, name []byte) ([]byte, error) {
		if len(name) == 0 {
			return nil, fault.New(fault.Unspecified, "no")
		}
		return []byte(`{"reports": [{"node": "` + string(name) + `", "state": "gone"}]}`), nil
	}
	c := New(running(t, commands))
	if reports, err := c.Why(t.Context(), "x"); err != nil || len(reports) != 1 || reports[0].State != why.Gone {
		t.Errorf("%+v, %v", reports, err)
	}
	if _, err := c.Why(t.Context(), ""); !fault.Has(err, fault.Unspecified) {
		t.Error(err)
	}
}

// A node that takes questions and says nothing, or closes the connection, is told
// from one that waits for another, whose error comes as an answer.
func TestClient_NodeWithoutAnswer(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close() // nobody accepts; the system takes connections
	c := &Client{path: ln.Addr().String(), options: localsock.ClientOptions{ReplyTime: 20 * time.Millisecond}}
	if _, err := c.Nodes(t.Context(), nil); !errors.Is(err, ErrSilent) || !fault.Has(err, fault.RequestTimeout) || err.Error() != "Error 3020 - Timeout sending request: get_nodes" {
		t.Errorf("%v", err)
	}
	one := make(chan struct{})
	go func() {
		defer close(one)
		if conn, err := ln.Accept(); err == nil { // that of the question above
			conn.Close()
		}
		if conn, err := ln.Accept(); err == nil {
			conn.Close()
		}
	}()
	if _, err := (&Client{path: ln.Addr().String()}).Nodes(t.Context(), nil); !errors.Is(err, ErrClosed) || !fault.Has(err, fault.DistributedAPI) {
		t.Errorf("%v", err)
	}
	<-one
	late := localsock.Commands{Nodes: func(context.Context, []byte) ([]byte, error) {
		return nil, fault.New(fault.RequestTimeout, "get_nodes")
	}}
	if _, err := New(running(t, late)).Nodes(t.Context(), nil); errors.Is(err, ErrSilent) || !fault.Has(err, fault.RequestTimeout) {
		t.Errorf("%v", err)
	}
}
