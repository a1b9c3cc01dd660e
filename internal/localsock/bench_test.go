package localsock

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time that this process has used so far: of client and
// server together, and the same however busy the machine is.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// A new connection for each request, ten clients at once, as local programs do.
func BenchmarkAsk(b *testing.B) {
	nodes := `{"items": [{"name": "master", "type": "master", "version": "4.7.5", "ip": "127.0.0.1"}], "totalItems": 1}`
	health := `{"n_connected_nodes": 1, "nodes": {` + strings.Repeat(" ", 1100) + `}}`
	_, path := serve(b, Commands{Nodes: constant(nodes), Health: constant(health)})
	filter := []byte(`{"filter_node": null, "offset": 0, "limit": 500, "sort": null, "search": null, "select": null, "filter_type": "all", "distinct": false}`)
	for name, payload := range map[string][]byte{cmdNodes: filter, cmdHealth: []byte("null")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(5)
			before := cpu(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := Ask(b.Context(), path, ClientOptions{}, name, payload); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}
