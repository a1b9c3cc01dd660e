package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
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
	ring, info, err := readKeys(r.cfg.Home)
	if err != nil {
		return err
	}
	if len(ring.badLines) > 0 {
		r.badLines.Fail(r.log, slog.LevelWarn, "Lines of client.keys passed over.",
			slog.Int("lines", len(ring.badLines)), slog.Any("first", ring.badLines[0]))
	} else {
		r.badLines.Recovered(r.log, "All lines of client.keys count again.")
	}
	rows := map[agent.ID]string{}
	err = r.cfg.Agents.EachAgent(ctx, func(id agent.ID, name string) {
		if id != agent.Manager {
			rows[id] = name
		}
	})
	if err != nil {
		return fmt.Errorf("read agents of the database: %w", err)
	}
	r.file.info, r.settled.valid = info, false
	err = r.change(ctx, ring, rows, result)
	if err == nil && len(r.missing)+len(r.extra) == 0 {
		r.settle(ring)
	}
	return err
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

func (r *Reconciler) settle(ring *keyring) {
	s := settled{valid: true}
	for id, k := range ring.keys {
		r.add(&s, id, k.Name)
	}
	r.settled = s
}

// change inserts, renames and deletes.
func (r *Reconciler) change(ctx context.Context, ring *keyring, rows map[agent.ID]string, result *Result) error {
	var missing, extra, renamed []agent.ID
	for id, k := range ring.keys {
		if name, there := rows[id]; !there {
			missing = append(missing, id)
		} else if name != k.Name {
			renamed = append(renamed, id)
		}
	}
	for id := range rows {
		if _, there := ring.keys[id]; !there {
			extra = append(extra, id)
		}
	}
	slices.Sort(missing) // neighbours of a table are written together
	slices.Sort(extra)
	grace := time.Duration(0)
	if r.cfg.Master && r.started {
		grace = Grace
	}
	r.started = true
	now := time.Now()
	missing, gone := r.missing.due(now, 0, missing), r.extra.due(now, grace, extra)
	gone = r.release(ring.doubt, gone, len(rows), now)
	added, addErr := r.insert(ctx, ring, missing)
	named, nameErr := each(ctx, renamed, func(id agent.ID) error {
		return r.cfg.Agents.RenameAgent(ctx, id, ring.keys[id].Name)
	})
	removed, removeErr := each(ctx, gone, func(id agent.ID) error { return r.remove(ctx, id, rows[id], ring) })
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
	return each(ctx, ids, func(id agent.ID) error { return r.cfg.Agents.AddAgent(ctx, ring.keys[id], times[id]) })
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

// remove deletes an agent's row and then what belongs to it. Only the row
// counts: the rest, should it stay, does no harm.
func (r *Reconciler) remove(ctx context.Context, id agent.ID, name string, ring *keyring) error {
	if err := r.cfg.Agents.DeleteAgent(ctx, id); err != nil {
		return err
	}
	var errs []error
	if r.cfg.Removed != nil {
		errs = append(errs, r.cfg.Removed(ctx, id))
	}
	errs = append(errs, r.cfg.Home.Remove(path.Join("queue/rids", id.String())))
	// A new agent may have the name of the old one.
	if oneElement(name) && !ring.names[name] {
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
