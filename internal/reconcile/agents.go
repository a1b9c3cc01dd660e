package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
)

// settled is a sum over agents' ids and names, whatever their order.
type settled struct {
	valid bool
	count int
	sum   uint64
}

func (r *Reconciler) add(s *settled, id agent.ID, name string) {
	s.count++
	s.sum += maphash.Comparable(r.seed, struct {
		id   agent.ID
		name string
	}{id, name})
}

// amiss remembers since when agents have been amiss.
type amiss map[agent.ID]time.Time

// due drops what is not amiss any more and gives, of what is, the ones that have
// been so for the grace.
func (a *amiss) due(now time.Time, grace time.Duration, ids []agent.ID) (due []agent.ID) {
	next := make(amiss, len(ids))
	for _, id := range ids {
		since, known := (*a)[id]
		if !known {
			since = now
		}
		next[id] = since
		if now.Sub(since) >= grace {
			due = append(due, id)
		}
	}
	*a = next
	return due
}

// reconcileAgents compares client.keys with the agents' rows.
func (r *Reconciler) reconcileAgents(ctx context.Context, result *Result) error {
	if quiet, err := r.nothingNew(ctx); quiet || err != nil {
		return err
	}
	known, err := r.rows(ctx)
	if err != nil {
		return err
	}
	ring, info, err := r.readKeys(known)
	if err != nil {
		return err
	}
	if len(ring.badLines) > 0 {
		r.badLines.Fail(r.log, slog.LevelWarn, "Lines of client.keys passed over.",
			slog.Int("lines", len(ring.badLines)), slog.Any("first", ring.badLines[0]))
	} else {
		r.badLines.Recovered(r.log, "All lines of client.keys count again.")
	}
	r.file.info, r.settled.valid = info, false
	err = r.change(ctx, ring, known, result)
	if err == nil && len(r.missing)+len(r.extra) == 0 {
		r.settled = ring.all
		r.settled.valid = true
		r.badBefore = len(ring.badLines)
	}
	return err
}

// rows reads the agents of the database.
func (r *Reconciler) rows(ctx context.Context) (list rows, err error) {
	err = r.cfg.Agents.EachAgent(ctx, func(id agent.ID, name string) {
		if id != agent.Manager {
			list = append(list, row{id: id, name: name})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read agents of the database: %w", err)
	}
	slices.SortFunc(list, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	return list, nil
}

// keysChanged tells whether client.keys is another one than was compared last.
func (r *Reconciler) keysChanged() bool {
	info, err := r.cfg.Home.Stat(keysPath)
	if err != nil {
		return r.file.info != nil || !r.started
	}
	return !same(info, r.file.info)
}

// nothingNew tells, without reading client.keys, that it is as it was when
// nothing was amiss, and so are the rows.
func (r *Reconciler) nothingNew(ctx context.Context) (bool, error) {
	if !r.settled.valid {
		return false, nil
	}
	info, err := r.cfg.Home.Stat(keysPath)
	if err != nil || !same(info, r.file.info) {
		return false, nil //nolint:nilerr // reading it will say
	}
	var rows settled
	err = r.cfg.Agents.EachAgent(ctx, func(id agent.ID, name string) {
		if id != agent.Manager {
			r.add(&rows, id, name)
		}
	})
	if err != nil {
		return false, fmt.Errorf("read agents of the database: %w", err)
	}
	return rows.count == r.settled.count && rows.sum == r.settled.sum, nil
}

// change inserts, renames and deletes.
func (r *Reconciler) change(ctx context.Context, ring *keyring, known rows, result *Result) error {
	missing := slices.Sorted(maps.Keys(ring.missing)) // neighbours of a table are written together
	var extra []agent.ID
	for i := range known {
		if !known[i].keyed {
			extra = append(extra, known[i].id)
		}
	}
	grace := time.Duration(0)
	if r.cfg.Master && r.started {
		grace = Grace
	}
	r.started = true
	now := time.Now()
	missing, gone := r.missing.due(now, 0, missing), r.extra.due(now, grace, extra)
	if len(gone) > 0 && r.cfg.Expected != nil {
		expected := r.cfg.Expected()
		gone = slices.DeleteFunc(gone, func(id agent.ID) bool { return expected[id] })
	}
	gone = r.release(ring.doubt, gone, len(known), now)
	added, addErr := r.insert(ctx, ring, missing)
	named, nameErr := each(ctx, slices.Sorted(maps.Keys(ring.renamed)), func(id agent.ID) error {
		return r.cfg.Agents.RenameAgent(ctx, id, ring.renamed[id])
	})
	removed, removeErr := r.removeAll(ctx, ring, known, gone)
	result.AgentsAdded, result.AgentsRenamed, result.AgentsRemoved = len(added), len(named), len(removed)
	forget(r.missing, added)
	forget(r.extra, removed)
	return errors.Join(wrap("insert agents", addErr), wrap("rename agents", nameErr), wrap("delete agents", removeErr))
}

func forget(a amiss, ids []agent.ID) {
	for _, id := range ids {
		delete(a, id)
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (r *Reconciler) insert(ctx context.Context, ring *keyring, ids []agent.ID) ([]agent.ID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	times := readTimestamps(r.cfg.Home)
	return each(ctx, ids, func(id agent.ID) error { return r.cfg.Agents.AddAgent(ctx, ring.missing[id], times[id]) })
}

// maxErrors bounds how many errors of one kind are told.
const maxErrors = 3

// each does something to many agents, some at a time. One that fails does not
// keep the others from being done. It gives those that were.
func each(ctx context.Context, ids []agent.ID, do func(id agent.ID) error) (done []agent.ID, err error) {
	var group errgroup.Group
	group.SetLimit(parallel)
	var mu sync.Mutex
	var errs []error
	failed := 0
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := do(id)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done = append(done, id)
			} else if failed++; failed <= maxErrors {
				errs = append(errs, fmt.Errorf("agent %v: %w", id, err))
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	if failed > maxErrors {
		errs = append(errs, fmt.Errorf("and %d more", failed-maxErrors))
	}
	return done, errors.Join(append(errs, ctx.Err())...)
}

// removeAll deletes agents.
func (r *Reconciler) removeAll(ctx context.Context, ring *keyring, known rows, gone []agent.ID) (removed []agent.ID, err error) {
	if len(gone) == 0 {
		return nil, nil
	}
	names := make(map[string]bool, len(gone))
	for _, id := range gone {
		names[known.find(id).name] = true
	}
	used := ring.inUse(known, names)
	return each(ctx, gone, func(id agent.ID) error {
		name := known.find(id).name
		return r.remove(ctx, id, name, used[name])
	})
}

// remove deletes an agent's row and then what belongs to it. Only the row
// counts: the rest, should it stay, does no harm.
func (r *Reconciler) remove(ctx context.Context, id agent.ID, name string, used bool) error {
	if err := r.cfg.Agents.DeleteAgent(ctx, id); err != nil {
		return err
	}
	var errs []error
	if r.cfg.Removed != nil {
		errs = append(errs, r.cfg.Removed(ctx, id))
	}
	errs = append(errs, r.cfg.Home.Remove(path.Join("queue/rids", id.String())))
	// A new agent may have the name of the old one.
	if oneElement(name) && !used {
		errs = append(errs, r.cfg.Home.RemoveAll(path.Join("queue/diff", name)))
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("Something of a removed agent is left.", slog.String("agent", id.String()), slog.Any("error", err))
		}
	}
	return nil
}

// oneElement tells whether a name can be that of an entry of a directory.
func oneElement(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
