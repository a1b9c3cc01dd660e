package wdb

import (
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// actorStats counts the requests to one actor, and their time.
type actorStats struct {
	received atomic.Int64
	verbs    []verbStats
}

type verbStats struct{ received, micros atomic.Int64 }

func newActorStats(verbs int) *actorStats { return &actorStats{verbs: make([]verbStats, verbs)} }

// begin counts a request of verb i; the function returned counts its time.
func (a *actorStats) begin(i int) func() {
	started := time.Now()
	return func() {
		a.verbs[i].received.Add(1)
		a.verbs[i].micros.Add(time.Since(started).Microseconds())
	}
}

// appendStats writes the figures of all actors under the names of the original:
// "PREFIX":sum, then "NAME":n and "NAME_breakdown":{...} of each actor.
func (s *Server) appendStats(dst []byte, prefix string, figure func(*verbStats) int64, whole func(*actorStats) int64) []byte {
	var sum int64
	var parts []byte
	for i, name := range slices.Sorted(maps.Keys(s.actors)) {
		a := s.actors[name]
		n := whole(a.stats)
		sum += n
		if i > 0 {
			parts = append(parts, ',')
		}
		parts = appendFigure(parts, name, n)
		parts = append(parts, `,"`+name+`_breakdown":`...)
		parts = a.appendBreakdown(parts, figure)
	}
	dst = appendFigure(append(dst, '{'), prefix, sum)
	dst = append(dst, `,"`+prefix+`_breakdown":{`...)
	return append(append(dst, parts...), "}}"...)
}

// appendBreakdown writes {"db":{...},"tables":{"GROUP":{...}}}.
func (a *actor) appendBreakdown(dst []byte, figure func(*verbStats) int64) []byte {
	dst = append(dst, '{')
	tables := false
	for i := 0; i < len(a.verbs); {
		group := a.verbs[i].group
		if group != "db" && !tables {
			tables = true
			dst = append(dst, `,"tables":{`...)
		} else if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `"`+group+`":{`...)
		for first := true; i < len(a.verbs) && a.verbs[i].group == group; i, first = i+1, false {
			if !first {
				dst = append(dst, ',')
			}
			dst = appendFigure(dst, a.verbs[i].name, figure(&a.stats.verbs[i]))
		}
		dst = append(dst, '}')
	}
	if tables {
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func appendFigure(dst []byte, name string, n int64) []byte {
	dst = append(append(append(dst, '"'), name...), `":`...)
	return strconv.AppendInt(dst, n, 10)
}
