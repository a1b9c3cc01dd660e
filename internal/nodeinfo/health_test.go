package nodeinfo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/peertest"
)

func namesOf(h Health) (names []string) {
	for _, n := range h.Nodes {
		names = append(names, n.Name)
	}
	return names
}

func TestGetHealth_Whose(t *testing.T) {
	m := small().master()
	cases := []struct {
		argument string
		workers  int
		names    []string
	}{
		{`null`, 2, []string{"w1", "W2", "master"}},
		{` null `, 2, []string{"w1", "W2", "master"}},
		{`{}`, 2, []string{"w1", "W2"}},
		{`[]`, 0, nil},
		{`["master"]`, 0, []string{"master"}},
		{`["nobody", "W2", 7, null, ["w1"]]`, 1, []string{"W2"}},
		{`["master", "w1"]`, 1, []string{"w1", "master"}},
		{`{"w1": 1, "master": null}`, 1, []string{"w1", "master"}},
		{`"w1 and master"`, 1, []string{"w1", "master"}},
		{`""`, 0, nil},
	}
	for _, c := range cases {
		answer, err := m.GetHealth(t.Context(), []byte(c.argument))
		if err != nil {
			t.Fatal(c.argument, err)
		}
		got, err := ParseHealth(answer)
		if diff := cmp.Diff(c.names, namesOf(got)); diff != "" || err != nil || got.Workers != c.workers {
			t.Errorf("%s: %d workers, %v (-want +got):\n%s", c.argument, got.Workers, err, diff)
		}
	}
	for _, argument := range []string{``, `x`, `7`, `true`, `[] []`, `"` + strings.Repeat("x", maxArgument) + `"`} {
		_, err := m.GetHealth(t.Context(), []byte(argument))
		wantFault(t, err, fault.Unspecified)
	}
}

func TestGetHealth_Shape(t *testing.T) {
	got, err := small().master().GetHealth(t.Context(), []byte(`null`))
	if err != nil {
		t.Fatal(err)
	}
	const start, end = `"2026-11-22T12:00:00.123456Z"`, `"2026-11-22T12:00:01.123456Z"`
	want := `{"n_connected_nodes": 2, "nodes": {` +
		`"w1": {"info": {"name": "w1", "type": "worker", "version": "4.7.5", "ip": "192.0.2.2", "n_active_agents": 7}, ` +
		`"status": {"sync_integrity_free": true, ` +
		`"last_check_integrity": {"date_start_master": ` + start + `, "date_end_master": ` + end + `}, ` +
		`"last_sync_integrity": {"date_start_master": ` + start + `, "date_end_master": ` + end + `, ` +
		`"total_extra_valid": 0, "total_files": {"missing": 3, "extra": 1, "shared": 2}}, ` +
		`"sync_agent_info_free": false, ` +
		`"last_sync_agentinfo": {"date_start_master": ` + start + `, "date_end_master": ` + end + `, "n_synced_chunks": 4}, ` +
		`"last_sync_agentgroup": {"date_start": ` + start + `, "date_end": ` + end + `, "n_synced_chunks": 1}, ` +
		`"last_sync_full_agentgroup": {"date_start": "n/a", "date_end": "n/a", "n_synced_chunks": 0}, ` +
		`"last_keep_alive": "2026-11-22T12:01:00.123456Z"}}, ` +
		`"W2": {"info": {"name": "W2", "type": "worker", "version": "4.7.6", "ip": "192.0.2.3", "n_active_agents": 0}, ` +
		`"status": {"sync_integrity_free": true, ` +
		`"last_check_integrity": {"date_start_master": "n/a", "date_end_master": "n/a"}, ` +
		`"last_sync_integrity": {"date_start_master": "n/a", "date_end_master": "n/a", ` +
		`"total_extra_valid": 0, "total_files": {"missing": 0, "shared": 0, "extra": 0, "extra_valid": 0}}, ` +
		`"sync_agent_info_free": true, ` +
		`"last_sync_agentinfo": {"date_start_master": "n/a", "date_end_master": "n/a", "n_synced_chunks": 0}, ` +
		`"last_sync_agentgroup": {"date_start": "n/a", "date_end": "n/a", "n_synced_chunks": 0}, ` +
		`"last_sync_full_agentgroup": {"date_start": "n/a", "date_end": "n/a", "n_synced_chunks": 0}, ` +
		`"last_keep_alive": ` + start + `}}, ` +
		`"master": {"info": {"name": "master", "type": "master", "version": "4.7.5", "ip": "192.0.2.1", "n_active_agents": 1}}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHealth_TravelsWhole(t *testing.T) {
	want := small().master().HealthOf(nil)
	got, err := ParseHealth(want.AppendJSON(nil))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestAppendDate(t *testing.T) {
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(1, 999), time.Unix(1795347368, 489804000), time.Date(2028, 2, 29, 23, 59, 59, 999999999, time.FixedZone("", 3600)),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		want := at.UTC().Format(`"2006-01-02T15:04:05.000000Z"`)
		if got := string(appendDate(nil, at)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// bed joins a worker's end to its master's.
func bed(t *testing.T, m *Master) (w *Worker, stop func()) {
	t.Helper()
	w = NewWorker(WorkerConfig{})
	_, _, stop = pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
	synctest.Wait()
	return w, stop
}

func TestWorker_AsksItsMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := small().master()
		w, stop := bed(t, m)
		want, _, _ := m.Nodes(NodeFilter{Type: typeWorker})
		nodes, total, err := w.Nodes(t.Context(), NodeFilter{Type: typeWorker, Limit: 5})
		if diff := cmp.Diff(want, nodes); diff != "" || total != 2 || err != nil {
			t.Errorf("%d, %v (-want +got):\n%s", total, err, diff)
		}
		for _, f := range []NodeFilter{{}, {Names: []string{"w1"}, Select: []string{"ip", "name"}}, {Type: typeWorker, Limit: 1}, {Names: []string{}}} {
			want, of, err := m.List(t.Context(), f)
			if err != nil {
				t.Error(err)
			}
			got, total, err := w.List(t.Context(), f)
			if diff := cmp.Diff(want, got); diff != "" || total != of || err != nil {
				t.Errorf("%+v: %d of %d, %v (-want +got):\n%s", f, total, of, err, diff)
			}
		}
		names, err := w.Names(t.Context())
		if diff := cmp.Diff([]string{"master", "w1", "W2"}, names); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		health, err := w.HealthOf(t.Context(), []string{"w1"})
		if diff := cmp.Diff(m.HealthOf([]string{"w1"}), health); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if health, err := w.HealthOf(t.Context(), nil); len(health.Nodes) != 3 || err != nil {
			t.Errorf("all: %v, %v", namesOf(health), err)
		}
		_, _, err = w.Nodes(t.Context(), NodeFilter{Names: []string{"w9"}})
		wantFault(t, err, fault.NodeAbsent)
		_, err = w.GetHealth(t.Context(), nil)
		wantFault(t, err, fault.Unspecified)
		stop()
		_, err = w.GetNodes(t.Context(), []byte("{}"))
		wantFault(t, err, fault.NotConnected)
	})
}

func TestWorker_WithoutMaster(t *testing.T) {
	w := NewWorker(WorkerConfig{})
	_, err := w.GetHealth(t.Context(), []byte("null"))
	wantFault(t, err, fault.NotConnected)
	_, err = w.HealthOf(t.Context(), nil)
	wantFault(t, err, fault.NotConnected)
	_, _, err = w.Nodes(t.Context(), NodeFilter{})
	wantFault(t, err, fault.NotConnected)
	_, _, err = w.List(t.Context(), NodeFilter{})
	wantFault(t, err, fault.NotConnected)
	_, err = w.Names(t.Context())
	wantFault(t, err, fault.NotConnected)
}

func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		active, broken := 5, error(nil)
		set := func(n int, err error) { mu.Lock(); defer mu.Unlock(); active, broken = n, err }
		log := peertest.NewLines()
		tally := NewTally(func(context.Context) (map[string]map[agent.Status]int, error) {
			mu.Lock()
			defer mu.Unlock()
			return map[string]map[agent.Status]int{"w1": {agent.Active: active, agent.Pending: 100}}, broken
		}, log.Logger())
		if n := tally.ActiveAgents("w1"); n != 0 {
			t.Errorf("%d before the first count", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tally.Run(ctx) }()
		synctest.Wait()
		if n := tally.ActiveAgents("w1"); n != 5 || tally.ActiveAgents("w2") != 0 {
			t.Errorf("w1 has %d", n)
		}
		set(6, errors.New("stuck"))
		pairtest.Quiet(3 * tallyEvery)
		if n := tally.ActiveAgents("w1"); n != 5 || log.Count("Agents not counted.") != 1 {
			t.Errorf("%d while it cannot be counted:\n%s", n, log)
		}
		set(6, nil)
		pairtest.Quiet(tallyEvery)
		if n := tally.ActiveAgents("w1"); n != 6 {
			t.Errorf("%d, not 6", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseNodeFilter(f *testing.F) {
	f.Add([]byte(`{"filter_node": ["w1"], "offset": 0, "limit": 500, "sort": {"fields": ["name"], "order": "asc"}, "search": {"value": "x", "negation": true}, "select": ["ip"], "filter_type": "all", "distinct": false}`))
	f.Add([]byte(`{"limit": null, "sort": null}`))
	m := small().master()
	f.Fuzz(func(t *testing.T, argument []byte) {
		filter, err := ParseNodeFilter(argument)
		if err != nil {
			_ = fault.From(err).JSON()
			return
		}
		if nodes, total, err := m.Nodes(filter); err == nil && (len(nodes) > total || total > 3) {
			t.Errorf("%d of %d nodes", len(nodes), total)
		}
		text, err := filter.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseNodeFilter(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}

func FuzzParseHealth(f *testing.F) {
	f.Add(small().master().HealthOf(nil).AppendJSON(nil))
	f.Add([]byte(`{"nodes": {"x": {"info": {}}}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		h, err := ParseHealth(answer)
		if err != nil {
			return
		}
		text := h.AppendJSON(nil)
		again, err := ParseHealth(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !bytes.Equal(text, again.AppendJSON(nil)) {
			t.Errorf("%s\n%s", text, again.AppendJSON(nil))
		}
	})
}

func FuzzParseHealthFilter(f *testing.F) {
	for _, seed := range []string{`null`, `["w1"]`, `{"w1": 1}`, `"w1"`, `7`} {
		f.Add([]byte(seed))
	}
	m := small().master()
	f.Fuzz(func(t *testing.T, argument []byte) {
		if filter, err := ParseHealthFilter(argument); err == nil && len(m.Health(filter).Nodes) > 3 {
			t.Error("more nodes than there are")
		}
	})
}

func BenchmarkGetNodes(b *testing.B) {
	m := small().master()
	filter := []byte(`{"filter_node": null, "offset": 0, "limit": 500, "sort": null, "search": null, "select": null, "filter_type": "all", "distinct": false}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.GetNodes(b.Context(), filter); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetHealth(b *testing.B) {
	for _, workers := range []int{1, 50} {
		w := small()
		one := w.members[0]
		w.members = nil
		for i := range workers {
			m := one
			m.Name = fmt.Sprint("w", i)
			w.members, w.status[m.Name] = append(w.members, m), w.status["w1"]
		}
		m := w.master()
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.GetHealth(b.Context(), []byte(`null`)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
