package agentdb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"testudo/internal/agent"
)

const many = 100_000

// reports divides fullReport as the chunks of a worker are.
func reports(n int, keepalive int64) (chunks [][]byte) {
	const perChunk = 110
	for i := 1; i <= n; i += perChunk {
		chunks = append(chunks, fullReport(i, min(i+perChunk-1, n), "worker1", keepalive, agent.Active))
	}
	return chunks
}

func setAllInfo(b *testing.B, s *Store, chunks [][]byte) {
	for _, c := range chunks {
		if err := s.SetSyncInfo(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSetSyncInfo is the master's part of a report of 100,000 agents.
func BenchmarkSetSyncInfo(b *testing.B) {
	s := start(b)
	insert(b, s, many)
	now := time.Now().Unix()
	b.Run("full", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			s.roster.forget()
			chunks := reports(many, now+int64(i))
			b.StartTimer()
			setAllInfo(b, s, chunks)
		}
	})
	b.Run("keepalives", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			chunks := reports(many, now+int64(i))
			b.StartTimer()
			setAllInfo(b, s, chunks)
		}
	})
}

// forget drops the fingerprints, so that rows are written in full.
func (r *roster) forget() {
	for _, b := range r.blocks {
		for i := range b.rows {
			b.rows[i].print = 0
		}
	}
}

// BenchmarkPendingInfo is the worker's part of a report of 100,000 agents.
func BenchmarkPendingInfo(b *testing.B) {
	s := start(b)
	insert(b, s, many)
	setAllInfo(b, s, reports(many, time.Now().Unix()))
	var confirms []func(context.Context) error
	b.Run("collect", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.ReportAll(b.Context(), "worker1"); err != nil {
				b.Fatal(err)
			}
			chunks, _, confirm, err := s.PendingInfo(b.Context(), 0)
			if err != nil || len(chunks) < 100 {
				b.Fatal(len(chunks), err)
			}
			confirms = append(confirms[:0], confirm)
		}
	})
	b.Run("report all", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			_, _, confirm, err := s.PendingInfo(b.Context(), 0)
			if err == nil {
				err = confirm(b.Context())
			}
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := s.ReportAll(b.Context(), "worker1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("collect alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, err := s.PendingInfo(b.Context(), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("confirm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			if err := s.ReportAll(b.Context(), "worker1"); err != nil {
				b.Fatal(err)
			}
			_, _, confirm, _ := s.PendingInfo(b.Context(), 0)
			b.StartTimer()
			if err := confirm(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUpdateKeepalive is 50 callers at once, with two that read.
func BenchmarkUpdateKeepalive(b *testing.B) {
	s := start(b)
	insert(b, s, many)
	b.ReportAllocs()
	ctx, stop := context.WithCancel(b.Context())
	var readers sync.WaitGroup
	var mu sync.Mutex
	var times []time.Duration
	for r := range 2 {
		readers.Go(func() {
			pause := time.NewTicker(time.Millisecond)
			defer pause.Stop()
			for i := r; ctx.Err() == nil; i += 7919 {
				began := time.Now()
				if _, err := s.AgentInfo(ctx, agent.ID(i%many+1)); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
				mu.Lock()
				times = append(times, time.Since(began))
				mu.Unlock()
				<-pause.C // a reader, not a load generator
			}
		})
	}
	b.SetParallelism(25)
	b.RunParallel(func(p *testing.PB) {
		for i := 1; p.Next(); i++ {
			if err := s.UpdateKeepalive(ctx, agent.ID(i*31%many+1), "active", "syncreq"); err != nil {
				b.Error(err)
			}
		}
	})
	stop()
	readers.Wait()
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "read-p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkOpen is what the start costs: the check of the file, and its agents.
func BenchmarkOpen(b *testing.B) {
	s, err := Open(b.Context(), Options{Path: b.TempDir() + "/global.db"})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.WithoutCancel(b.Context())) }()
	insert(b, s, many)
	if err := errors.Join(s.Close(), <-ended); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		again, err := Open(b.Context(), s.o)
		if err == nil {
			err = again.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLists is what lists cost among 1,000,000 agents, and what memory these
// take.
func BenchmarkLists(b *testing.B) {
	s := start(b)
	before := liveBytes()
	s.roster.mu.Lock()
	for i := 1; i <= 1_000_000; i++ {
		s.roster.putLocked(&record{
			id: agent.ID(i), name: fmt.Sprintf("agent-%07d", i), ip: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), hasIP: true,
			node: fmt.Sprintf("worker%d", i%5), version: fmt.Sprintf("Wazuh v4.7.%d", 5-i%20/19), group: fmt.Sprintf("default,g%d", i%50),
			status: agent.Statuses()[i%4],
		})
	}
	s.roster.mu.Unlock()
	b.Run("memory", func(b *testing.B) {
		began := time.Now()
		for b.Loop() {
			runtime.GC()
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000/float64(b.N), "ms/GC")
		b.ReportMetric(float64(liveBytes()-before)/1_000_000, "B/agent")
	})
	for _, q := range []struct {
		name string
		f    Filter
	}{
		{"page", Filter{After: 500_000, Limit: 100}},
		{"status", Filter{Status: agent.Disconnected, Node: "worker3", Limit: 100}},
		{"group", Filter{Group: "g7", Limit: 100}},
		{"group and status", Filter{Group: "g7", Status: agent.Active, Limit: 100}},
		{"version", Filter{Version: "Wazuh v4.7.4", Limit: 100}},
		{"version and group", Filter{Version: "Wazuh v4.7.4", Group: "g7", Limit: 100}},
		{"name", Filter{Name: "gent-099999", Limit: 100}},
		{"name of all", Filter{Name: "agent", Limit: 100}},
	} {
		b.Run(q.name, func(b *testing.B) {
			timed(b, func() error {
				_, _, err := s.Agents(b.Context(), q.f)
				return err
			})
		})
	}
	b.Run("counts", func(b *testing.B) {
		timed(b, func() error {
			_, err := s.Counts(b.Context())
			return err
		})
	})
}

// liveBytes is what is in use.
func liveBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// timed reports the 99th of a hundred times as well.
func timed(b *testing.B, ask func() error) {
	b.ReportAllocs()
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := ask(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
