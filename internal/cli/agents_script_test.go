package cli_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"testudo/internal/agentdb"
	"testudo/internal/nodedb"
	"testudo/internal/sqlitedb"
)

// herd: agents HOME N makes the database of agents that a node would have. Each
// fifth of ten is disconnected, the odd ones report to worker2 and are in group
// web.
func herd(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := filepath.Join(ts.MkAbs(args[0]), nodedb.FilePath)
	store, err := agentdb.Open(ctx, agentdb.Options{Path: path, Master: true})
	ts.Check(err)
	ts.Check(store.Close())
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{Path: path, Rollback: true, Setup: func(*sqlitedb.Conn) error { return nil }})
	ts.Check(err)
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Unix()
	ts.Check(db.Write(ctx, func(c *sqlitedb.Conn) error {
		for id, name := range []string{"default", "web"} {
			if err := sqlitedb.Exec(c, `INSERT OR IGNORE INTO "group" (id, name) VALUES (?1, ?2)`, id+1, name); err != nil {
				return err
			}
		}
		for id := 1; id <= count; id++ {
			status, group := "active", []string{"default", "default,web"}[id%2]
			if id%10 == 5 {
				status = "disconnected"
			}
			err := sqlitedb.Exec(c, `INSERT INTO agent (id, name, ip, internal_key, connection_status, node_name, version, "group", last_keepalive, date_add)
				VALUES (?1, ?2, ?3, 'secret', ?4, ?5, 'Wazuh v4.7.5', ?6, ?7, ?7)`,
				id, fmt.Sprintf("host-%d", id), fmt.Sprintf("10.0.0.%d", id), status, fmt.Sprintf("worker%d", id%2+1), group, noon+int64(id))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	ts.Check(db.Close())
}

// watched: watched FILE PATTERN COMMAND ARG... runs a command, its output in a
// file, until that matches; interrupted it must then end as after a success.
func watched(ts *testscript.TestScript, _ bool, args []string) {
	path, pattern := ts.MkAbs(args[0]), regexp.MustCompile("(?m)"+args[1])
	out, err := os.Create(path)
	ts.Check(err)
	defer out.Close()
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), out, os.Stderr
	cmd.Env = append(os.Environ(), "TZ="+ts.Getenv("TZ"))
	ts.Check(cmd.Start())
	ts.Defer(func() { _ = cmd.Process.Kill() }) // when it is not what it should be
	waitUntil(ts, args[1]+" is shown", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && pattern.Match(text)
	})
	ts.Check(cmd.Process.Signal(os.Interrupt))
	ts.Check(cmd.Wait())
}
