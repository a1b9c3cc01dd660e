package result

import (
	"fmt"
	"testing"
)

// manyAgents is the answer of a node with n agents, each second one among n
// ids of the same kind.
func manyAgents(b *testing.B, n, first int) *Affected {
	a := &Affected{SortFields: []string{"id"}, AllMsg: "all", SomeMsg: "some", NoneMsg: "none"}
	for i := range n {
		id := fmt.Sprintf("%06d", first+2*i)
		if err := a.Add(map[string]any{"id": id, "name": "agent-" + id, "os": map[string]any{"name": "Ubuntu", "version": "22.04"}, "status": "active"}); err != nil {
			b.Fatal(err)
		}
	}
	return a
}

func BenchmarkDecode(b *testing.B) {
	text := Outcome{Result: manyAgents(b, 10000, 0)}.JSON()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(text, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	o := Outcome{Result: manyAgents(b, 10000, 0)}
	b.SetBytes(int64(len(o.JSON())))
	b.ReportAllocs()
	for b.Loop() {
		o.JSON()
	}
}

func BenchmarkMerge(b *testing.B) {
	one, two := Outcome{Result: manyAgents(b, 10000, 0)}, Outcome{Result: manyAgents(b, 10000, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if o := Merge(one, two); o.Err != nil {
			b.Fatal(o.Err)
		}
	}
}
