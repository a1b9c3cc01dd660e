package unixsock

import (
	"log/slog"
	"time"
)

// leaveTime is how long a silent connection may take to be gone. It takes longer
// only when a request has come at this very moment, which is then answered.
const leaveTime = 100 * time.Millisecond

// makeRoom ends the connection that has been silent longest, so that whoever
// holds all connections and says nothing shuts nobody out. It tells whether there
// is room now.
func (s *Server) makeRoom(socket string) bool {
	c := s.mostSilent(time.Now())
	about := []slog.Attr{slog.String("socket", socket), slog.Int("limit", s.limits.Connections)}
	if c == nil {
		s.stats.refused.Add(1)
		s.full.Fail(s.log, slog.LevelWarn, "Too many connections, closing the new ones.", about...)
		return false
	}
	s.stats.evicted.Add(1)
	s.full.Fail(s.log, slog.LevelWarn, "Too many connections, closing silent ones for new ones.", about...)
	c.stop()
	late := time.NewTimer(leaveTime)
	defer late.Stop()
	select {
	case <-c.gone:
		return true
	case <-late.C:
		s.stats.refused.Add(1)
		return false
	}
}

// mostSilent is the connection that has been silent longest, at least for
// Limits.Silent; nil when there is none.
func (s *Server) mostSilent(now time.Time) (found *Conn) {
	longest := now.Add(-s.limits.Silent)
	s.each(func(c *Conn) {
		if since, ok := c.silentSince(); ok && !since.After(longest) {
			found, longest = c, since
		}
	})
	return found
}
