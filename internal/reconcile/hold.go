package reconcile

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
)

const (
	condAgents = "agents-removal-held"
	condGroups = "groups-removal-held"

	// A removal of more than half of the rows, and of more than these, is one of
	// many.
	manyAgents = 10
	manyGroups = 20

	// lasting is how long agents must have been kept without a key, or groups
	// without a directory, for that to be an error; a master has left enrolment its
	// minute before.
	lasting = Grace + Grace/2

	holdShort = 5 * time.Minute
	holdLong  = time.Hour
	never     = time.Duration(-1)
)

// hold says how long agents must have been without a key in client.keys before
// they are removed; never as long as the file is what it is.
//
// A worker's file comes whole from its master, who does not send one that has
// suddenly lost its agents unless somebody says that this is meant; what is
// wrong with a worker's own copy the next check of files mends within seconds.
// On a master nobody else looks, and enrolment removes from the database what it
// removes from the file: there, many agents without key are an accident, or
// somebody's edit.
func hold(d doubt, master bool, remove, known int) time.Duration {
	var wait time.Duration
	switch {
	case remove == 0:
		return 0
	case d == absent, d == empty && master:
		return never
	case d == empty:
		return holdLong
	case d == broken:
		wait = holdShort
	}
	if remove > manyAgents && remove > known/2 {
		wait = holdShort
		if master {
			wait = holdLong
		}
	}
	return wait
}

func (d doubt) String() string {
	return [...]string{"has lost more than half of the agents", "has broken lines or an end cut off", "holds no agent", "is missing"}[d]
}

// release gives those agents without a key that may be removed now, and says so
// when others have to wait.
func (r *Reconciler) release(d doubt, gone []agent.ID, known int, now time.Time) (released []agent.ID) {
	wait := hold(d, r.cfg.Master, len(gone), known)
	longest := time.Duration(0) // that one of those who have to wait has been without a key
	for _, id := range gone {
		since := now.Sub(r.extra[id])
		if wait != never && since >= wait {
			released = append(released, id)
		} else {
			longest = max(longest, since)
		}
	}
	held := len(gone) - len(released)
	r.cfg.Metrics.RemovalsHeldBack("agents", held)
	if held == 0 {
		r.cfg.Health.Clear(condAgents)
		r.holding.Recovered(r.log, "Agents are removed again.")
		return released
	}
	remedy := "Put the file back; agents that are to go are removed through enrolment."
	if wait != never {
		remedy = fmt.Sprintf("Put the file back if this is not meant; if it is, the agents go when they have been without a key for %v.", wait)
	}
	// At first it may be that the file is just being mended, or that somebody who
	// removes many agents has got as far as their keys.
	severity, level, line := health.Warning, slog.LevelWarn, "Agents without a key are kept for the time being."
	if longest >= lasting {
		severity, level, line = health.Critical, slog.LevelError, "Agents without a key not removed."
	}
	r.cfg.Health.Raise(condAgents, severity,
		fmt.Sprintf("%s %s; %d of %d agents are kept in the database without a key.", keysPath, d, held, known), remedy)
	r.holding.Fail(r.log, level, line, slog.String("why", keysPath+" "+d.String()),
		slog.Int("kept", held), slog.Int("known", known))
	return released
}

// holdGroups tells whether groups may not be removed now: never while there is
// no directory of the default group, and many only after a while.
func (r *Reconciler) holdGroups(directories, remove []string, known int) bool {
	var why string
	stable := r.groupsHeld.see(directories, time.Now())
	switch {
	case len(remove) == 0:
	case !slices.Contains(directories, defaultGroup):
		why = "the directory of the group \"default\" is missing"
	case len(remove) > manyGroups && len(remove) > known/2 && stable < holdShort:
		why = "more than half of the groups have lost their directory"
	}
	if why == "" {
		r.cfg.Health.Clear(condGroups)
		r.cfg.Metrics.RemovalsHeldBack("groups", 0)
		r.holdingGroups.Recovered(r.log, "Groups are removed again.")
		return false
	}
	severity, level, line := health.Warning, slog.LevelWarn, "Groups without a directory are kept for the time being."
	if stable >= lasting {
		severity, level, line = health.Critical, slog.LevelError, "Groups without a directory not removed."
	}
	r.cfg.Health.Raise(condGroups, severity,
		fmt.Sprintf("In %s %s; %d of %d groups are kept in the database without one.", sharedPath, why, len(remove), known),
		"Put the directories back; without the group \"default\" no group is removed, otherwise all of them after "+holdShort.String()+".")
	r.cfg.Metrics.RemovalsHeldBack("groups", len(remove))
	r.holdingGroups.Fail(r.log, level, line, slog.String("why", why),
		slog.Int("remove", len(remove)), slog.Int("known", known))
	return true
}
