package agentdb

import (
	"fmt"
	"strings"
	"testing"
)

// assignments divides the groups of n agents as the chunks of a master are.
func assignments(n, groups int, shift int) (chunks [][]byte) {
	const perChunk = 1500
	for i := 1; i <= n; i += perChunk {
		var b strings.Builder
		for id := i; id < min(i+perChunk, n+1); id++ {
			fmt.Fprintf(&b, `,{"id":%d,"groups":["default","group-%d"]}`, id, (id+shift)%groups)
		}
		chunks = append(chunks, []byte("["+b.String()[1:]+"]"))
	}
	return chunks
}

func withGroups(tb testing.TB, s *Store, n int) {
	tb.Helper()
	must(tb, s.InsertGroup(tb.Context(), "default"))
	for i := range n {
		must(tb, s.InsertGroup(tb.Context(), fmt.Sprintf("group-%d", i)))
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func apply(tb testing.TB, s *Store, chunks [][]byte) {
	tb.Helper()
	for _, c := range chunks {
		must(tb, s.SetSyncGroups(tb.Context(), c))
	}
}

// grouped is a store with 100,000 agents that have two groups each.
func grouped(b *testing.B) *Store {
	b.Helper()
	s := start(b)
	insert(b, s, many)
	withGroups(b, s, 50)
	apply(b, s, assignments(many, 50, 0))
	return s
}

// allToBeSent has the groups of all agents wait to be sent out.
func allToBeSent(b *testing.B, s *Store) {
	b.Helper()
	must(b, s.write(b.Context(), false, func(t *tx) error {
		t.reloadRoster()
		t.touchGroups()
		return t.exec("UPDATE agent SET group_sync_status = 'syncreq' WHERE id > 0")
	}))
}

// BenchmarkSetSyncGroups is 100,000 agents of a worker that get two groups each:
// for the first time, one of them another, and none changed.
func BenchmarkSetSyncGroups(b *testing.B) {
	for _, kind := range []string{"first", "moved", "same"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := start(b)
				insert(b, s, many)
				withGroups(b, s, 50)
				chunks := assignments(many, 50, 0)
				if kind != "first" {
					apply(b, s, chunks)
				}
				if kind == "moved" {
					chunks = assignments(many, 50, 1)
				}
				b.StartTimer()
				apply(b, s, chunks)
				b.StopTimer()
				must(b, s.Close())
				b.StartTimer()
			}
		})
	}
}

// BenchmarkPendingGroups is a master that sends out the groups of 100,000 agents.
func BenchmarkPendingGroups(b *testing.B) {
	s := grouped(b)
	for b.Loop() {
		b.StopTimer()
		allToBeSent(b, s)
		b.StartTimer()
		chunks, confirm, err := s.PendingGroups(b.Context())
		must(b, err)
		if len(chunks) < 50 {
			b.Fatal(len(chunks))
		}
		b.StopTimer()
		must(b, confirm(b.Context()))
		b.StartTimer()
	}
}

func BenchmarkConfirmGroups(b *testing.B) {
	s := grouped(b)
	for b.Loop() {
		b.StopTimer()
		allToBeSent(b, s)
		_, confirm, err := s.PendingGroups(b.Context())
		must(b, err)
		b.StartTimer()
		must(b, confirm(b.Context()))
	}
}

func BenchmarkGroupsHash(b *testing.B) {
	s := grouped(b)
	for b.Loop() {
		s.groupsChanged.Add(1)
		_, _, err := s.GroupsHash(b.Context())
		must(b, err)
	}
}

func BenchmarkRecalculateGroupHashes(b *testing.B) {
	s := grouped(b)
	for b.Loop() {
		must(b, s.RecalculateGroupHashes(b.Context()))
	}
}
