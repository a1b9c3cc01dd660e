package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"testudo/internal/nodedb"
	"testudo/internal/screen"
	"testudo/internal/sqlitedb"
)

// dbCheckCmd looks at the whole database.
type dbCheckCmd struct {
	homeFlag
	JSON bool `name:"json" help:"Write JSON."`
}

// dbReport is what --json writes.
type dbReport struct {
	OK       bool     `json:"ok"`
	File     string   `json:"file"`
	Bytes    int64    `json:"bytes"`
	Served   bool     `json:"served"` // a process answers at the socket
	Schema   string   `json:"schema,omitempty"`
	Agents   int      `json:"agents"`
	Groups   int      `json:"groups"`
	Problems []string `json:"problems"`
}

const (
	// knownSchema is the version of the schema of 4.7.5 (docs/agentdb.md §8).
	knownSchema = "6"
	// maxProblems bounds what is told of a damaged database.
	maxProblems = 20
)

// Run looks and tells.
func (c *dbCheckCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	report, err := checkDatabase(e.ctx, dir)
	if err != nil {
		return fmt.Errorf("check the database of %s: %w", dir, err)
	}
	if c.JSON {
		err = writeJSON(e.out, report)
	} else {
		err = report.write(e)
	}
	if err == nil && !report.OK {
		return codeError(exitFailed)
	}
	return err
}

func (r *dbReport) write(e *env) error {
	for _, problem := range r.Problems {
		fmt.Fprintln(e.err, problem)
	}
	if !r.OK {
		fmt.Fprintf(e.err, "testudo: %s is not sound; stop the node and put a backup in its place with 'testudo db restore', or move the file away: a worker's is filled again by the master, a master's from etc/client.keys, without the groups of the agents\n", r.File)
		return nil
	}
	state := "no node runs"
	if r.Served {
		state = "a node runs"
	}
	_, err := fmt.Fprintf(e.out, "%s is sound: schema %s, %s, %s, %s; %s.\n",
		r.File, r.Schema, plural(r.Agents, "agent"), plural(r.Groups, "group"), screen.Size(r.Bytes), state)
	return err
}

// checkDatabase reads the whole file; a node that serves it goes on.
func checkDatabase(ctx context.Context, dir string) (*dbReport, error) {
	report := &dbReport{File: filepath.Join(dir, nodedb.FilePath), Problems: []string{}}
	info, err := os.Stat(report.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; the node has not run", report.File)
	}
	if err != nil {
		return nil, err
	}
	report.Bytes = info.Size()
	if conn, err := nodedb.DialHome(ctx, dir); err == nil {
		report.Served = true
		conn.Close()
	}
	err = report.read(ctx)
	if sqlitedb.IsBroken(err) {
		report.Problems = append(report.Problems, oneLine(err.Error()))
		err = nil
	}
	report.OK = err == nil && len(report.Problems) == 0
	return report, err
}

func (r *dbReport) read(ctx context.Context) error {
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path: r.File, ReadOnly: true, Setup: func(*sqlitedb.Conn) error { return nil }, // what is there is the question
	})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Read(ctx, func(c *sqlitedb.Conn) error {
		if err := r.findings(c); err != nil || len(r.Problems) > 0 {
			return err
		}
		return r.content(c)
	})
}

// findings are what SQLite itself finds.
func (r *dbReport) findings(c *sqlitedb.Conn) error {
	err := sqlitedb.Select(c, fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems), func(s *sqlitedb.Stmt) error {
		if text := s.ColumnText(0); text != "ok" {
			r.Problems = append(r.Problems, text)
		}
		return nil
	})
	if err != nil || len(r.Problems) > 0 {
		return err
	}
	return sqlitedb.Select(c, "PRAGMA foreign_key_check", func(s *sqlitedb.Stmt) error {
		if len(r.Problems) < maxProblems {
			r.Problems = append(r.Problems, fmt.Sprintf("row %d of table %s belongs to a row of %s that is not there", s.ColumnInt64(1), s.ColumnText(0), s.ColumnText(2)))
		}
		return nil
	})
}

// content is what the database holds.
func (r *dbReport) content(c *sqlitedb.Conn) error {
	tables := map[string]bool{}
	err := sqlitedb.Select(c, "SELECT name FROM sqlite_master WHERE type = 'table'", func(s *sqlitedb.Stmt) error {
		tables[s.ColumnText(0)] = true
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"agent", "labels", "info", "metadata", "group", "belongs"} {
		if !tables[name] {
			r.Problems = append(r.Problems, "the table "+name+" is missing")
		}
	}
	if len(r.Problems) > 0 {
		return nil
	}
	err = sqlitedb.Select(c, `SELECT (SELECT value FROM metadata WHERE key = 'db_version'), (SELECT count(*) FROM agent WHERE id > 0), (SELECT count(*) FROM "group")`,
		func(s *sqlitedb.Stmt) error {
			r.Schema, r.Agents, r.Groups = s.ColumnText(0), s.ColumnInt(1), s.ColumnInt(2)
			return nil
		})
	if err == nil && r.Schema != knownSchema {
		r.Problems = append(r.Problems, fmt.Sprintf("the schema has version %q, not %s", r.Schema, knownSchema))
	}
	return err
}
