package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// exercise calls every recording method once.
func exercise(s *Set) {
	s.SessionOpened()
	s.SessionOpened()
	s.SessionClosed()
	s.ConnectionRefused("too many")
	s.Received(10)
	s.Received(-1)
	s.Sent(20)
	s.FrameReceived()
	s.FrameSent()
	s.FrameRefused("too_large")
	s.Round("in_step", 0.02)
	s.Files("pending", 8)
	s.ManifestFiles(9)
	s.Worker("w1", true, 1.5)
	s.Worker("w2", false, 3)
	s.ForgetWorker("w2")
	s.QueueDepth("out", 4)
	s.QueueDepth("unsent w2", 4)
	s.ForgetQueue("unsent w2")
	s.ForgetQueue("unsent w2")
	s.HeldBack(true)
	s.BundleBytes(5)
	s.BundleCache(6)
	s.Hashed(7)
	s.LogLine("INFO")
	s.Agents("active", 5)
	s.AgentsByNode("w1", "active", 3)
	s.AgentsByNode("w2", "active", 2)
	s.ForgetAgentsOfNode("w2")
	s.ForgetAgentsOfNode("w2")
	s.AgentsTimedOut(2)
	s.AgentsTimedOut(0)
	s.RemovalsHeldBack("agents", 60)
	s.MergedFileWritten()
	s.AgentDBCommit(10, 1, 0.003)
	s.AgentDBCommit(0, 0, 0.001)
	s.AgentDBQueue(7)
	s.WDBRequest("global", false, 0.001)
	s.WDBRequest("global", true, 0.001)
	s.DAPIRequest("wazuh.agent.get_agents", "ok", 0.1)
	s.WDBConnections(4)
	s.LocalConnections(5)
	s.LocalRequest()
	s.LocalClosed("slow")
	s.EnrolConnections(3)
	s.EnrolRefused("silent")
	s.EnrolRequest("key", 0.01)
	s.Registration("ok", 0.01)
	s.KeyRemoval("ok")
	s.Keys(100, 2)
}

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	return w.Body.String()
}

func TestSet_PublishesWhatWasRecorded(t *testing.T) {
	s := New("m", "master")
	exercise(s)
	got := scrape(t, s)
	for _, line := range []string{
		`testudo_node_info{node="m",role="master"} 1`,
		`testudo_sessions 1`,
		`testudo_connections_refused_total{reason="too many"} 1`,
		`testudo_received_bytes_total 10`,
		`testudo_sent_bytes_total 20`,
		`testudo_frames_total{direction="in"} 1`,
		`testudo_frames_total{direction="out"} 1`,
		`testudo_refused_frames_total{reason="too_large"} 1`,
		`testudo_integrity_rounds_total{result="in_step"} 1`,
		`testudo_integrity_round_seconds_count 1`,
		`testudo_files{state="pending"} 8`,
		`testudo_files_in_manifest 9`,
		`testudo_worker_lag_seconds{worker="w1"} 1.5`,
		`testudo_worker_in_step{worker="w1"} 1`,
		`testudo_queue_depth{queue="out"} 4`,
		`testudo_held_back 1`,
		`testudo_bundle_bytes_total 5`,
		`testudo_bundle_cache_bytes 6`,
		`testudo_hashed_bytes_total 7`,
		`testudo_log_lines_total{level="INFO"} 1`,
		`testudo_agents{state="active"} 5`,
		`testudo_agents_by_node{node="w1",state="active"} 3`,
		`testudo_agents_timed_out_total 2`,
		`testudo_removals_held_back{kind="agents"} 60`,
		`testudo_merged_files_written_total 1`,
		`testudo_agentdb_writes_total{result="ok"} 10`,
		`testudo_agentdb_writes_total{result="error"} 1`,
		`testudo_agentdb_commit_seconds_count 2`,
		`testudo_agentdb_queue_depth 7`,
		`testudo_wdb_requests_total{actor="global"} 2`,
		`testudo_wdb_errors_total{actor="global"} 1`,
		`testudo_wdb_request_seconds_count 2`,
		`testudo_wdb_connections 4`,
		`testudo_local_connections 5`,
		`testudo_local_requests_total 1`,
		`testudo_local_connections_closed_total{reason="slow"} 1`,
		`testudo_enrol_connections 3`,
		`testudo_enrol_connections_refused_total{reason="silent"} 1`,
		`testudo_enrol_requests_total{result="key"} 1`,
		`testudo_enrol_request_seconds_count 1`,
		`testudo_registrations_total{outcome="ok"} 1`,
		`testudo_registration_seconds_count 1`,
		`testudo_key_removals_total{result="ok"} 1`,
		`testudo_keys 100`,
		`testudo_registrations_held 2`,
		`testudo_dapi_requests_total{function="wazuh.agent.get_agents",result="ok"} 1`,
		`testudo_dapi_request_seconds_count 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(got, `w2"`) {
		t.Error("a worker or queue that was forgotten is still published")
	}
}

func TestSet_NamesFollowTheRule(t *testing.T) {
	s := New("m", "master")
	exercise(s)
	name := regexp.MustCompile(`^(testudo|go|process|promhttp)_[a-z_]+$`)
	families, err := s.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !name.MatchString(f.GetName()) || f.GetHelp() == "" {
			t.Errorf("metric %q, help %q", f.GetName(), f.GetHelp())
		}
	}
}

func TestSet_NilDoesNothing(t *testing.T) {
	var s *Set
	exercise(s)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", w.Code)
	}
}

func TestSet_LabelsAreBounded(t *testing.T) {
	s := New("m", "master")
	for i := range 2 * maxReasons {
		s.FrameRefused(fmt.Sprint("reason ", i))
	}
	for i := range 2 * maxWorkers {
		s.Worker(fmt.Sprint("w", i), true, 0)
	}
	got := scrape(t, s)
	if n := strings.Count(got, "testudo_refused_frames_total{"); n != maxReasons+1 {
		t.Errorf("%d reasons published, want %d", n, maxReasons+1)
	}
	if n := strings.Count(got, "testudo_worker_in_step{"); n != maxWorkers+1 {
		t.Errorf("%d workers published, want %d", n, maxWorkers+1)
	}
	s.ForgetWorker("w0")
	s.Worker("later", true, 0)
	if !strings.Contains(scrape(t, s), `testudo_worker_in_step{worker="later"} 1`) {
		t.Error("the place of a forgotten worker is not given again")
	}
}

func TestSet_LabelThatIsNotUTF8(t *testing.T) {
	s := New("m", "master")
	s.FrameRefused("a\xff")
	if !strings.Contains(scrape(t, s), "reason=\"a\uFFFD\"") {
		t.Error("the value is not published in valid form")
	}
}

func TestSet_ManyAtOnce(t *testing.T) {
	s := New("m", "master")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				exercise(s)
			}
		})
	}
	wg.Wait()
	if got := scrape(t, s); !strings.Contains(got, "testudo_received_bytes_total 8000\n") {
		t.Error("bytes were lost")
	}
}
