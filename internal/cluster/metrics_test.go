package cluster

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/metrics"
)

// What comes and goes is counted, with the reasons of what was refused.
func TestMaster_Metrics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		set := metrics.New("master", "master")
		w := newWorld(t, func(c *MasterConfig) {
			c.Metrics, c.Session.Metrics = set, set
			c.Limits = AdmissionLimits{Connections: 10, PerAddress: 10, StrangersPerAddress: 1}
		})
		g := w.join("w1")
		g.OK("echo", "x")
		w.dial("10.0.0.3").Refused("hello", "w2 other worker 4.7.5", "3030")
		synctest.Wait()
		time.Sleep(3 * time.Second)
		other := w.dial("10.0.0.3")
		other.Send(1, "echo", "")
		other.WantClosed()
		late := w.dial("10.0.0.4")
		synctest.Wait()
		w.dial("10.0.0.4").WantClosed() // one stranger an address
		late.WantClosed()
		broken := w.dial("10.0.0.5")
		if _, err := broken.Conn.Write(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		broken.WantClosed()
		w.join("w3").Close()
		synctest.Wait()

		page := httptest.NewRecorder()
		set.Handler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, line := range []string{
			`testudo_sessions 1`,
			`testudo_connections_refused_total{reason="hello"} 1`,
			`testudo_connections_refused_total{reason="handshake"} 3`,
			`testudo_connections_refused_total{reason="strangers_per_address"} 1`,
			`testudo_refused_frames_total{reason="no_hello"} 1`,
			`testudo_refused_frames_total{reason="late"} 1`,
			`testudo_refused_frames_total{reason="token"} 1`,
			`testudo_frames_total{direction="in"} 5`,
		} {
			if !strings.Contains(page.Body.String(), line+"\n") {
				t.Errorf("no line %s", line)
			}
		}
	})
}
