//go:build unix

package enrolport

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"testudo/internal/agent"
)

// BenchmarkServer_Enrol is a whole enrolment, handshake to key, with a registrar
// that does nothing: what is left is the port. Both ends run here.
func BenchmarkServer_Enrol(b *testing.B) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		b.Run(tls.VersionName(version), func(b *testing.B) {
			p := open(b)
			go func() {
				for range p.desk.events { // nobody else takes them
				}
			}()
			b.Cleanup(func() { close(p.desk.events) })
			b.Cleanup(p.stop)
			client, err := NewClient(ClientConfig{Address: p.address(), Timeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			client.tls.MaxVersion = version
			b.SetParallelism(8)
			before := processor()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := client.Enrol(b.Context(), web01, agent.Secret{}); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "enrolments/s")
			b.ReportMetric(float64((processor()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkServer_Idle is what a connection costs that says nothing, and one that
// does so after its handshake: memory of the server's end and the other one.
func BenchmarkServer_Idle(b *testing.B) {
	const connections = 5000
	for name, handshake := range map[string]bool{"silent": false, "after the handshake": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p := open(b, func(c *Config) { c.HandshakeTime, c.ReadTime = time.Hour, time.Hour })
				before := memory()
				open := make([]io.Closer, 0, connections)
				for range connections {
					if handshake {
						c := p.secure(b)
						if err := c.Handshake(); err != nil {
							b.Fatal(err)
						}
						open = append(open, c)
						continue
					}
					nc, err := net.Dial("tcp", p.address())
					if err != nil {
						b.Fatal(err)
					}
					open = append(open, nc)
				}
				p.ask(b, "OSSEC A:'web-01'\n")
				b.ReportMetric(float64(memory()-before)/(1<<20), "MB")
				b.ReportMetric(float64(memory()-before)/connections, "B/connection")
				for _, c := range open {
					c.Close()
				}
				p.stop()
			}
		})
	}
}

// processor is the time that this process has had the processor, both ends.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
