package enrolment

import (
	"time"

	"testudo/internal/agent"
)

// Force says when an agent makes room for a newcomer that wants its id, name or
// address (docs/enrolment.md §6). Times count in whole seconds.
type Force struct {
	Enabled             bool
	KeyMismatch         bool // an agent keeps its place while the newcomer has its very key
	DisconnectedEnabled bool
	Disconnected        time.Duration // how long an agent must have been away
	AfterRegistration   time.Duration // how old an agent must be; 0 for any age
}

// DefaultForce is the rules of a node that was told nothing.
func DefaultForce() Force {
	return Force{
		Enabled: true, KeyMismatch: true,
		DisconnectedEnabled: true, Disconnected: time.Hour, AfterRegistration: time.Hour,
	}
}

// Existing is what is known of the agent in the way.
type Existing struct {
	Known          bool // it has a row in the database
	Status         agent.Status
	DisconnectedAt int64 // Unix seconds; 0 while it is not disconnected
	AddedAt        int64 // Unix seconds
	KeyHash        string
}

// Decide tells whether the agent in the way goes, at the time now (Unix
// seconds). newcomerHash is "" when none was sent. why names the rule that keeps
// it, for the log.
func (f Force) Decide(e Existing, newcomerHash string, now int64) (replace bool, why string) {
	switch {
	case !f.Enabled:
		return false, "replacing is not allowed (force/enabled)"
	case !e.Known:
		return false, "it has no row in the database yet"
	}
	if f.DisconnectedEnabled && e.Status != agent.NeverConnected {
		gone := e.Status == agent.Disconnected && e.DisconnectedAt > 0
		switch {
		case gone && now-e.DisconnectedAt < seconds(f.Disconnected):
			return false, "it has not been disconnected for long enough (force/disconnected_time)"
		case e.DisconnectedAt == 0:
			return false, "it is not disconnected (force/disconnected_time)"
		}
	}
	switch age := seconds(f.AfterRegistration); {
	case age > 0 && now-e.AddedAt < age:
		return false, "it was registered too recently (force/after_registration_time)"
	case newcomerHash != "" && f.KeyMismatch && newcomerHash == e.KeyHash:
		return false, "the newcomer has its working key (force/key_mismatch)"
	}
	return true, ""
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
