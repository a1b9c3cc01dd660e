package reconcile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"testudo/internal/agent"
)

const (
	sharedPath   = "etc/shared"
	defaultGroup = agent.DefaultGroup
)

// stability tells since when a list has been the same.
type stability struct {
	digest [sha256.Size]byte
	since  time.Time
}

// see takes note of a list and tells for how long it has been seen.
func (s *stability) see(names []string, now time.Time) time.Duration {
	if digest := digestOf(names); s.since.IsZero() || s.digest != digest {
		s.digest, s.since = digest, now
	}
	return now.Sub(s.since)
}

func digestOf(names []string) [sha256.Size]byte { return sha256.Sum256(fmt.Append(nil, names)) }

// directories lists the directories of etc/shared whose names a group can have.
// Hidden ones are no groups.
func (r *Reconciler) directories() (names []string, err error) {
	dir, err := r.cfg.Home.Open(sharedPath)
	if err != nil {
		return nil, err
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && name[0] != '.' && agent.CheckGroupName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// directoriesChanged tells whether there are other directories than were compared
// last.
func (r *Reconciler) directoriesChanged() bool {
	names, err := r.directories()
	return err != nil || r.groupsHeld.digest != digestOf(names)
}

// reconcileGroups compares the directories of etc/shared with the group table.
func (r *Reconciler) reconcileGroups(ctx context.Context, result *Result) error {
	directories, err := r.directories()
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	rows, err := r.cfg.Groups.GroupNames(ctx)
	if err != nil {
		return fmt.Errorf("read groups of the database: %w", err)
	}
	missing, extra := difference(directories, rows), difference(rows, directories)
	extra = slices.DeleteFunc(extra, func(name string) bool { return name == defaultGroup })
	if r.holdGroups(directories, extra, len(rows)) {
		extra = nil
	}
	var errs []error
	do := func(what, name string, f func(context.Context, string) error, count *int) {
		if err := f(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("%s group %s: %w", what, name, err))
			return
		}
		*count++
	}
	for _, name := range missing {
		do("insert", name, r.cfg.Groups.InsertGroup, &result.GroupsAdded)
	}
	for _, name := range extra {
		do("delete", name, r.cfg.Groups.DeleteGroup, &result.GroupsRemoved)
	}
	return errors.Join(errs...)
}

// difference gives what is in a and not in b.
func difference(a, b []string) (only []string) {
	in := make(map[string]bool, len(b))
	for _, name := range b {
		in[name] = true
	}
	for _, name := range a {
		if !in[name] {
			only = append(only, name)
		}
	}
	return only
}
