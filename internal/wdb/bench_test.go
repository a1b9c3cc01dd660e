package wdb

import (
	"fmt"
	"strings"
	"testing"
)

func benchWorld(b *testing.B, agents int) *world {
	b.Helper()
	w := newWorld(b, Options{SQLWrites: true})
	w.want(fmt.Sprintf("global sql with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) "+
		"insert into agent (id, name, date_add) select i, 'agent-' || i, 1 from n", agents), "ok []")
	w.want("global insert-agent-group default", "ok")
	w.want("global insert-agent-group web", "ok")
	return w
}

// BenchmarkServer_Keepalive is update-keepalive by 64 clients.
func BenchmarkServer_Keepalive(b *testing.B) {
	w := benchWorld(b, 10000)
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		a := newAsker(b, w.socket)
		for n := 1; p.Next(); n++ {
			request := fmt.Sprintf(`global update-keepalive {"id":%d,"connection_status":"active","sync_status":"syncreq"}`, n%10000+1)
			if got := a.ask(request); got != "ok" {
				b.Errorf("got %q", got)
			}
		}
	})
}

// BenchmarkServer_SetGroups is requests as long as may be, of some 1,600 agents.
func BenchmarkServer_SetGroups(b *testing.B) {
	w := benchWorld(b, 2000)
	requests := [2]string{groupsRequest(`["default","web"]`), groupsRequest(`["web","default"]`)}
	a := newAsker(b, w.socket)
	for n := 0; b.Loop(); n++ {
		if got := a.ask(requests[n%2]); got != "ok" {
			b.Fatalf("got %q", got)
		}
	}
	b.ReportMetric(float64(strings.Count(requests[0], `"id"`)), "agents/op")
}

func groupsRequest(groups string) string {
	out := `global set-agent-groups {"mode":"override","sync_status":"synced","data":[{"id":1,"groups":["web"]}`
	for id := 2; len(out) < requestBytes-64; id++ {
		out += fmt.Sprintf(`,{"id":%d,"groups":%s}`, id, groups)
	}
	return out + "]}"
}

// BenchmarkDecode is the reading of such a request.
func BenchmarkDecode(b *testing.B) {
	request := groupsRequest(`["default","web"]`)
	request = request[strings.IndexByte(request, '{'):]
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(request); err != nil {
			b.Fatal(err)
		}
	}
}
