package localsock

import (
	"log/slog"
	"time"

	"testudo/internal/logging"
)

// makeRoom ends the connection that has been silent longest, so that whoever
// holds all connections and says nothing shuts nobody out. It tells whether there
// is room now.
func (s *Server) makeRoom() bool {
	c := s.mostSilent(time.Now())
	limit := slog.Int("limit", s.o.Connections)
	if c == nil {
		s.full.Fail(s.log, slog.LevelWarn, "Too many local connections, closing the new ones.", limit)
		return false
	}
	s.full.Fail(s.log, slog.LevelWarn, "Too many local connections, closing silent ones for new ones.", limit)
	s.evicted.Add(1)
	s.o.Metrics.LocalClosed("evicted")
	s.leave(c)
	c.conn.Close()
	return true
}

// mostSilent is the client that has been silent longest, at least for
// Options.Silent; nil when there is none.
func (s *Server) mostSilent(now time.Time) (found *conn) {
	longest := now.Add(-s.o.Silent)
	s.each(func(c *conn) {
		if since, ok := c.silentSince(); ok && !since.After(longest) {
			found, longest = c, since
		}
	})
	return found
}

// watch closes clients that have been silent for too long.
func (s *Server) watch() {
	log := s.log.With(logging.Task("Keep alive"))
	tick := time.NewTicker(s.o.Idle / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		log.Debug("Calculating.")
		now := time.Now()
		open := 0
		s.each(func(c *conn) {
			open++
			if since, ok := c.silentSince(); ok && now.Sub(since) > s.o.Idle {
				s.idle.Add(1)
				s.o.Metrics.LocalClosed("idle")
				c.conn.Close()
			}
		})
		if open < s.o.Connections/2 { // not at each connection around the limit
			s.full.Recovered(s.log, "Local connections are taken again.")
		}
		log.Debug("Calculated.")
	}
}
