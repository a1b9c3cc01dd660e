package agentdb

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// start opens a store in a new directory and runs its writer until the test ends.
func start(t testing.TB, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Path: filepath.Join(t.TempDir(), "global.db")}
	for _, c := range change {
		c(&o)
	}
	return startAt(t, o)
}

func startAt(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func ptr(text string) *string { return &text }

// insert adds agents 1 to n.
func insert(t testing.TB, s *Store, n int) {
	t.Helper()
	err := s.write(t.Context(), false, func(tx *tx) error {
		for i := 1; i <= n; i++ {
			err := tx.exec("INSERT INTO agent (id, name, ip, register_ip, internal_key, date_add, `group`)"+
				" VALUES (?1, ?2, ?3, 'any', ?4, 1700000000, 'default')",
				i, fmt.Sprintf("agent-%06d", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), fmt.Sprintf("%064x", i))
			if err != nil {
				return err
			}
		}
		tx.reloadRoster()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// thousands skips a test of one caller and very many rows with -short: the race
// detector makes each row some thirty times as slow, and finds nothing there.
func thousands(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("thousands of rows: not with -short")
	}
}

// fullReport is a report of the agents from to to, as a worker sends it.
func fullReport(from, to int, node string, keepalive int64, status agent.Status) []byte {
	out := []byte{'['}
	for i := from; i <= to; i++ {
		if i > from {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"id":%d,"name":"agent-%06d","ip":"10.%d.%d.%d","os_name":"Debian GNU/Linux","os_version":"12","os_major":"12",`+
			`"os_codename":"bookworm","os_platform":"debian","os_uname":"Linux |agent-%06d |6.1.0-13-amd64 |#1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29) |x86_64",`+
			`"os_arch":"x86_64","version":"Wazuh v4.7.5","config_sum":"ab73af41699f13fdd81903b5f23d8d00","merged_sum":"4a8724b20dee0124ff9656783c490c4e",`+
			`"manager_host":"host","node_name":"%s","last_keepalive":%d,"connection_status":"%s","disconnection_time":0,"group_config_status":"synced","status_code":0}`,
			i, i, i>>16, i>>8&255, i&255, i, node, keepalive, status)
	}
	return append(out, ']')
}

// dump returns the result of a query as text, of rows that have caught up.
func dump(t testing.TB, s *Store, query string, args ...any) string {
	t.Helper()
	if err := s.catchUpAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := newPagerOf(1 << 30)
	if err := s.read(t.Context(), func(c *sqlitedb.Conn) error { return addRows(c, p, query, args...) }); err != nil {
		t.Fatal(err)
	}
	return string(p.page().JSON)
}
