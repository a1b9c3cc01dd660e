package dapi

import (
	"context"
	"net"
	"strings"
	"testing"

	"testudo/internal/peertest"
	"testudo/internal/session"
)

// benchRequest is a request as the original's API sends it.
var benchRequest = ask{"wazuh.cluster.get_node_wrapper", "", LocalMaster,
	`, "wait_for_complete": false, "from_cluster": false, "is_async": false, "local_client_arg": null, "basic_services": ["wazuh-modulesd", ` +
		`"wazuh-analysisd", "wazuh-execd", "wazuh-db", "wazuh-remoted"], "rbac_permissions": {"rbac_mode": "black"}, "current_user": "wazuh", ` +
		`"broadcasting": false, "nodes": ["m3", "w3", "w4"], "api_timeout": 10`}.JSON()

func BenchmarkMaster_Ask(b *testing.B) {
	m := NewMaster(MasterConfig{Config: Config{Node: "m3"}, Nodes: NodesFunc(func() []string { return []string{"m3"} })}, functions(b), whoReports)
	defer m.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.Ask(b.Context(), "7", benchRequest); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkWorker_Ask asks the master over a connection of this machine.
func BenchmarkWorker_Ask(b *testing.B) {
	for _, plain := range []bool{false, true} {
		b.Run(map[bool]string{false: "Testudo", true: "4.7.5"}[plain], func(b *testing.B) {
			m := NewMaster(MasterConfig{Config: Config{Node: "m3"}, Nodes: NodesFunc(func() []string { return []string{"m3"} })}, functions(b), whoReports)
			w := NewWorker(Config{Node: "w3"}, functions(b))
			defer connect(b, m, w, plain)()
			b.SetParallelism(5)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := w.Ask(b.Context(), "7", benchRequest); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// connect joins the two ends by TCP.
func connect(b *testing.B, m *Master, w *Worker, plain bool) (stop func()) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	near, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	key := peertest.NewKey(b, peertest.Key)
	hello := session.Hello{Name: "w3", Cluster: "wazuh", Type: "worker", Version: "4.7.5"}
	done := make(chan struct{}, 2)
	var ends []*session.Session
	var works []func(context.Context)
	for conn, offer := range map[net.Conn]func(*session.Session, *session.Mux) func(context.Context){near: m.Offer, far: w.Offer} {
		s, mux := session.New(conn, session.Config{Key: key}), session.NewMux()
		works = append(works, offer(s, mux))
		s.Establish(hello, mux, nil)
		ends = append(ends, s)
		go func() {
			_ = s.Run(context.Background())
			done <- struct{}{}
		}()
	}
	if !plain {
		for i, s := range ends {
			if strings.HasSuffix(s.RemoteAddr().String(), ln.Addr().String()) { // the worker's
				if err := ends[i].Introduce(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	for i, s := range ends {
		s.Go(works[i])
	}
	for w.master.Load() == nil || m.link("w3") == nil {
		if _, err := w.Ask(b.Context(), "7", benchRequest); err == nil {
			break
		}
	}
	return func() {
		for _, s := range ends {
			s.Close(nil)
		}
		<-done
		<-done
		m.Close()
		w.Close()
	}
}
