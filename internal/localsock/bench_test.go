package localsock

import (
	"strings"
	"testing"
)

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
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := Ask(b.Context(), path, ClientOptions{}, name, payload); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
