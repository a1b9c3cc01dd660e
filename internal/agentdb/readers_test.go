package agentdb

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

var heardAt = regexp.MustCompile(`"last_keepalive":(\d+)`)

// Whoever reads after an answer sees what was answered, whatever else goes on.
func TestReaders_SeeWhatWasAnswered(t *testing.T) {
	const agents, first = 6, 1700000000
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	s := start(t, func(o *Options) { o.AllowWrites, o.Backups.Dir = true, t.TempDir() })
	insert(t, s, agents)
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, agents, "w1", first, agent.Active)))
	var owners, others sync.WaitGroup
	var ended atomic.Bool
	for _, disturb := range disturbers(t.Context(), s) {
		others.Go(func() {
			for !ended.Load() {
				if err := disturb(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for id := 1; id <= agents; id++ {
		owners.Go(func() {
			for n := range rounds {
				at := int64(first + 1 + n)
				if err := s.SetSyncInfo(t.Context(), fullReport(id, id, "w1", at, agent.Active)); err != nil {
					t.Error(err)
					return
				}
				if got, err := readKeepalive(t.Context(), s, id, n); err != nil || got != at {
					t.Errorf("agent %d in round %d was heard at %d, not %d; %v", id, n, got, at, err)
					return
				}
			}
		})
	}
	owners.Wait()
	ended.Store(true)
	others.Wait()
	sameRoster(t, s)
	sameAfterCrash(t, s)
}

// disturbers are what may go on beside.
func disturbers(ctx context.Context, s *Store) []func() error {
	return []func() error{
		func() error { return s.writeLazily(ctx, func(t *tx) error { return t.followSome() }) },
		func() error {
			s.journal.restTil.Store(0)
			return s.ReportAll(ctx, "w1")
		},
		func() error {
			_, _, confirm, err := s.PendingInfo(ctx, 0)
			if err != nil {
				return err
			}
			return confirm(ctx)
		},
		func() error {
			_, err := s.SQL(ctx, "UPDATE agent SET sync_status = 'syncreq' WHERE id = 1", true)
			return err
		},
		func() error { _, err := s.Backup(ctx); return err },
		func() error { _, _, err := s.Agents(ctx, Filter{Name: "agent-00000"}); return err },
	}
}

// readKeepalive asks in one of several ways.
func readKeepalive(ctx context.Context, s *Store, id, way int) (at int64, err error) {
	var page Page
	switch way % 4 {
	case 0:
		page, err = s.AgentInfo(ctx, agent.ID(id))
	case 1:
		page, err = s.SQL(ctx, fmt.Sprintf("SELECT max(last_keepalive) AS last_keepalive FROM agent WHERE id = %d", id), false)
	case 2:
		err = s.Query(ctx, "SELECT last_keepalive FROM agent WHERE id = ?1", []any{id}, func(st *sqlitedb.Stmt) error {
			at = st.ColumnInt64(0)
			return nil
		})
		return at, err
	default:
		list, _, err := s.Agents(ctx, Filter{After: agent.ID(id - 1), Limit: 1})
		if err != nil || len(list) != 1 {
			return 0, fmt.Errorf("%d agents: %w", len(list), err)
		}
		return list[0].LastKeepalive, nil
	}
	if found := heardAt.FindSubmatch(page.JSON); found != nil {
		at, _ = strconv.ParseInt(string(found[1]), 10, 64)
	}
	return at, err
}
