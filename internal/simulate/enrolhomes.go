package simulate

import (
	"context"
	"time"

	"testudo/internal/agent"
	"testudo/internal/nodekeys"
)

// CheckHomes waits until the keys that were given are in the homes of nodes, or
// the patience is at its end. What is missing then is in the report, and is no
// error.
func (e *Enrolment) CheckHomes(ctx context.Context, homes []string, patience time.Duration) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	given := map[agent.ID]agent.Key{}
	for _, k := range e.tally.keys {
		given[k.ID] = k
	}
	found := make([]HomeReport, len(homes))
	for open := true; open; {
		open = false
		for i, dir := range homes {
			if found[i].Home != "" && found[i].Missing+found[i].Other == 0 {
				continue
			}
			look, err := compareHome(dir, given)
			if err != nil {
				return err
			}
			look.Seconds = seconds(time.Since(began))
			found[i] = look
			open = open || look.Missing+look.Other > 0
		}
		if open && !waitUntil(limited, time.Now().Add(awaitEvery)) {
			break
		}
	}
	e.tally.mu.Lock()
	e.tally.homes = found
	e.tally.mu.Unlock()
	return ctx.Err()
}

func compareHome(dir string, given map[agent.ID]agent.Key) (HomeReport, error) {
	r := HomeReport{Home: dir}
	_, err := nodekeys.Each(dir, func(k agent.Key) {
		want, ok := given[k.ID]
		switch {
		case !ok || k.Removed:
		case k.Name == want.Name && k.Secret.Equal(want.Secret):
			r.Have++
		default:
			r.Other++
		}
	})
	r.Missing = len(given) - r.Have - r.Other
	return r, err
}

// CleanupEnrolled removes the agents of earlier runs where agents are registered,
// at the master, and tells how many there were; with a mark only those of that
// run.
func CleanupEnrolled(ctx context.Context, keys *nodekeys.Keys, mark string, progress func(done, total int)) (int, error) {
	var ids []string
	if _, err := nodekeys.Each(keys.Home(), func(k agent.Key) {
		if !k.Removed && isEnrolName(k.Name, mark) {
			ids = append(ids, k.Text)
		}
	}); err != nil {
		return 0, err
	}
	return keys.RemoveAll(ctx, ids, progress)
}
