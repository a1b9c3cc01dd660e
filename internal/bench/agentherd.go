package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/nodedb"
	"testudo/internal/sqlitedb"
)

const (
	// herdGroups is how many groups there are beside default.
	herdGroups = 50
	// herdNode is the node that the agents report to at first.
	herdNode = "worker1"

	herdKeys  = "etc/client.keys"
	herdSetup = "etc/testudo.yaml"
)

// herdSettings lets the measurement change all agents by one statement: what
// stands in a new home's settings, and what takes its place.
func herdSettings() *strings.Replacer {
	return strings.NewReplacer("#sql_writes: false", "sql_writes: true", "#query_time: 1m", "query_time: 10m")
}

func herdGroup(i int) string { return fmt.Sprintf("bench-%02d", i%herdGroups) }

// herdFiles is a home whose node knows many agents, by its files alone.
type herdFiles struct{ home string }

// makeHerd puts agents into a new home: their keys, groups and rows.
func makeHerd(ctx context.Context, home string, agents int) (*herdFiles, error) {
	h := &herdFiles{home}
	if err := h.settings(home); err != nil {
		return nil, err
	}
	if err := writeHerdKeys(filepath.Join(home, herdKeys), agents); err != nil {
		return nil, err
	}
	return h, fillHerd(ctx, filepath.Join(home, nodedb.FilePath), agents)
}

// settings writes what every home has: settings and groups.
func (h *herdFiles) settings(home string) error {
	path := filepath.Join(home, herdSetup)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(herdSettings().Replace(string(text))), 0o660) //nolint:gosec // a home that we have made
	}
	if err != nil {
		return err
	}
	for i := range herdGroups {
		dir := filepath.Join(home, "etc/shared", herdGroup(i))
		if err := os.MkdirAll(dir, 0o770); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "agent.conf"), []byte("<agent_config>\n</agent_config>\n"), 0o660); err != nil {
			return err
		}
	}
	return nil
}

// copyTo gives another home the same agents.
func (h *herdFiles) copyTo(home string) error {
	if err := h.settings(home); err != nil {
		return err
	}
	for _, name := range []string{herdKeys, nodedb.FilePath} {
		if err := copyFile(filepath.Join(h.home, name), filepath.Join(home, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func herdKey(id int) string { return fmt.Sprintf("%064x", id) }

func writeHerdKeys(path string, agents int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(file, 1<<20)
	for id := 1; id <= agents; id++ {
		fmt.Fprintf(out, "%03d agent-%d any %s\n", id, id, herdKey(id))
	}
	return errors.Join(out.Flush(), file.Close())
}

// fillHerd makes a database with the rows of the agents, each with two groups.
func fillHerd(ctx context.Context, path string, agents int) (err error) {
	store, err := agentdb.Open(ctx, agentdb.Options{Path: path, Master: true}) // makes the schema
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		return err
	}
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path: path, Rollback: true, Setup: func(*sqlitedb.Conn) error { return nil }, // it is there
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Write(ctx, func(c *sqlitedb.Conn) error {
		if err := fillGroups(c); err != nil {
			return err
		}
		return fillAgents(c, agents)
	})
}

// fillGroups makes the groups; default has the id 1, bench-00 the id 2.
func fillGroups(c *sqlitedb.Conn) error {
	if err := sqlitedb.Exec(c, `DELETE FROM "group"`); err != nil {
		return err
	}
	if err := sqlitedb.Exec(c, `INSERT INTO "group" (id, name) VALUES (1, ?1)`, agent.DefaultGroup); err != nil {
		return err
	}
	for i := range herdGroups {
		if err := sqlitedb.Exec(c, `INSERT INTO "group" (id, name) VALUES (?1, ?2)`, i+2, herdGroup(i)); err != nil {
			return err
		}
	}
	return nil
}

const insertHerd = `INSERT INTO agent (id, name, ip, register_ip, internal_key, os_name, os_version, os_major, os_minor, os_codename,
	os_platform, os_uname, os_arch, version, config_sum, merged_sum, manager_host, node_name, date_add, last_keepalive, "group",
	group_hash, connection_status, group_config_status)
	VALUES (?1, ?2, ?3, 'any', ?4, 'Ubuntu', '22.04.4 LTS', '22', '04', 'Jammy Jellyfish', 'ubuntu', ?5, 'x86_64', ?6,
	'ab73af41699f13fdd81903b5f23d8d00', 'f10b8f2bf9e8a3d1e2d1d9e4f8a1c0b7', ?7, ?7, ?8, ?8, ?9, ?10, ?11, 'synced')`

func fillAgents(c *sqlitedb.Conn, agents int) error {
	began := time.Now().Add(-time.Hour).Unix()
	for id := 1; id <= agents; id++ {
		name := fmt.Sprintf("agent-%d", id)
		uname := "Linux |" + name + " |5.15.0-105-generic |#115-Ubuntu SMP Mon Apr 15 09:52:04 UTC 2024 |x86_64"
		groups := agent.GroupsText([]string{agent.DefaultGroup, herdGroup(id)})
		status, version := "active", "Wazuh v4.7.5"
		if id%20 == 0 {
			status, version = "disconnected", "Wazuh v4.7.4"
		}
		err := sqlitedb.Exec(c, insertHerd, id, name, fmt.Sprintf("10.%d.%d.%d", id>>16&255, id>>8&255, id&255), herdKey(id), uname, version,
			herdNode, began, groups, agent.GroupHash(groups), status)
		if err == nil {
			err = sqlitedb.Exec(c, `INSERT INTO belongs (id_agent, id_group, priority) VALUES (?1, 1, 0), (?1, ?2, 1)`, id, id%herdGroups+2)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
