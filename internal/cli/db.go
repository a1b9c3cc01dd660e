package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"testudo/internal/nodedb"
	"testudo/internal/screen"
)

// dbCmd looks after the database of agents.
type dbCmd struct {
	Backup  dbBackupCmd  `cmd:"" help:"Save the database of agents, also of a node that runs."`
	Restore dbRestoreCmd `cmd:"" help:"Put a backup in the place of the database, also of a node that runs."`
	List    dbListCmd    `cmd:"" help:"Show the backups."`
	Check   dbCheckCmd   `cmd:"" help:"Look whether the database is sound: 0 when it is, else 1."`
}

// backupDir is where backups are, relative to the home.
const backupDir = "backup/db"

// backupName is how they are called (docs/agentdb.md §14).
var backupName = regexp.MustCompile(`^global\.db-backup-(\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d)(-pre_restore|-pre_upgrade)?\.gz$`)

// dbBackupCmd makes a backup.
type dbBackupCmd struct {
	homeFlag
	JSON bool `name:"json" help:"Write JSON."`
}

// backupReport is what --json writes.
type backupReport struct {
	Backup string `json:"backup"` // its path
	Bytes  int64  `json:"bytes"`
}

// Run makes it.
func (c *dbBackupCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	path, err := makeBackup(e.ctx, dir)
	if err != nil {
		return fmt.Errorf("back up the database of %s: %w", dir, err)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	report := backupReport{Backup: path}
	if info, err := os.Stat(path); err == nil {
		report.Bytes = info.Size()
	}
	if c.JSON {
		return writeJSON(e.out, report)
	}
	_, err = fmt.Fprintf(e.out, "%s (%s)\n", report.Backup, screen.Size(report.Bytes))
	return err
}

// makeBackup has whoever serves the database save it, else does it itself.
func makeBackup(ctx context.Context, dir string) (path string, err error) {
	conn, err := nodedb.DialHome(ctx, dir)
	if errors.Is(err, nodedb.ErrNobody) {
		return backupFile(ctx, dir)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	payload, _, err := conn.Call(ctx, "global backup create")
	if err != nil {
		return "", err
	}
	var paths []string
	if err := json.Unmarshal(payload, &paths); err != nil || len(paths) != 1 {
		return "", fmt.Errorf("the node answers %.60q", payload)
	}
	return paths[0], nil
}

// dbRestoreCmd puts a backup back.
type dbRestoreCmd struct {
	homeFlag
	Name string `arg:"" optional:"" help:"The backup, as 'testudo db list' shows it; without it the newest."`
	Save bool   `default:"true" negatable:"" help:"Save the present database first."`
	JSON bool   `name:"json" help:"Write JSON."`
}

// restoreReport is what --json writes.
type restoreReport struct {
	Restored string `json:"restored"`
	Saved    bool   `json:"saved"`             // the database that was there is a backup now
	Running  bool   `json:"running"`           // a node ran, and goes on with the restored database
	Damaged  string `json:"damaged,omitempty"` // where the database that was there is, when it could not be used
}

// Validate is called by the parser.
func (c *dbRestoreCmd) Validate() error {
	if c.Name != "" && !backupName.MatchString(filepath.Base(c.Name)) {
		return fmt.Errorf("%s is not called like a backup; 'testudo db list' shows them", c.Name)
	}
	return nil
}

// Run puts it back.
func (c *dbRestoreCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	report := restoreReport{Saved: c.Save}
	if report.Restored, err = c.choose(dir); err != nil {
		return err
	}
	if err = restoreBackup(e.ctx, dir, &report); err != nil {
		return fmt.Errorf("restore %s in %s: %w", report.Restored, dir, err)
	}
	if c.JSON {
		return writeJSON(e.out, report)
	}
	text := fmt.Sprintf("Restored %s in %s.\n", report.Restored, dir)
	if report.Running {
		text += "The node goes on with it; what agents have reported since comes back with their next keep-alives.\n"
	}
	if report.Damaged != "" {
		text += fmt.Sprintf("The database that was there could not be used; it is %s now.\n", report.Damaged)
	}
	_, err = fmt.Fprint(e.out, text)
	return err
}

// choose gives the name of the backup that is wanted, which must be there.
func (c *dbRestoreCmd) choose(dir string) (string, error) {
	backups, err := listBackups(dir)
	if err != nil {
		return "", err
	}
	if c.Name == "" && len(backups) == 0 {
		return "", fmt.Errorf("there is no backup in %s", filepath.Join(dir, backupDir))
	}
	if c.Name == "" {
		return backups[0].Name, nil
	}
	name := filepath.Base(c.Name)
	if !slices.ContainsFunc(backups, func(b backup) bool { return b.Name == name }) {
		return "", fmt.Errorf("there is no backup %s in %s; 'testudo db list' shows what there is", name, filepath.Join(dir, backupDir))
	}
	return name, nil
}

// restoreBackup has whoever serves the database put the backup in its place, else
// does it itself. What the report says of Saved is what is asked for.
func restoreBackup(ctx context.Context, dir string, report *restoreReport) error {
	conn, err := nodedb.DialHome(ctx, dir)
	if errors.Is(err, nodedb.ErrNobody) {
		report.Damaged, err = restoreFile(ctx, dir, report.Restored, report.Saved)
		report.Saved = report.Saved && report.Damaged == ""
		return err
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	report.Running = true
	text, err := json.Marshal(struct {
		Snapshot string `json:"snapshot"`
		Save     bool   `json:"save_pre_restore_state"`
	}{report.Restored, report.Saved})
	if err != nil {
		return err
	}
	return conn.Do(ctx, "global backup restore "+string(text))
}

// dbListCmd shows the backups.
type dbListCmd struct {
	homeFlag
	JSON bool `name:"json" help:"Write JSON."`
}

// backup is one backup.
type backup struct {
	Name  string `json:"name"`
	Time  string `json:"time"` // in its name: the node's local time
	Kind  string `json:"kind"` // daily, before a restore, before an upgrade
	Bytes int64  `json:"bytes"`
}

// listBackups finds them, the newest first.
func listBackups(dir string) ([]backup, error) {
	entries, err := os.ReadDir(filepath.Join(dir, backupDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for backups: %w", err)
	}
	var found []backup
	for _, entry := range entries {
		parts := backupName.FindStringSubmatch(entry.Name())
		info, err := entry.Info()
		if parts == nil || err != nil || !info.Mode().IsRegular() {
			continue
		}
		b := backup{Name: entry.Name(), Time: parts[1][:10] + " " + parts[1][11:], Kind: "backup", Bytes: info.Size()}
		if parts[2] != "" {
			b.Kind = "before a" + map[string]string{"-pre_restore": " restore", "-pre_upgrade": "n upgrade"}[parts[2]]
		}
		found = append(found, b)
	}
	slices.SortFunc(found, func(a, b backup) int { return strings.Compare(b.Time+b.Name, a.Time+a.Name) })
	return found, nil
}

// Run shows them.
func (c *dbListCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	backups, err := listBackups(dir)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return writeJSON(e.out, map[string]any{"backups": notNil(backups)})
	case len(backups) == 0:
		_, err = fmt.Fprintf(e.out, "No backups in %s.\n", filepath.Join(dir, backupDir))
		return err
	}
	rows := make([][]string, 0, len(backups))
	for _, b := range backups {
		rows = append(rows, []string{b.Name, b.Time, b.Kind, screen.Size(b.Bytes)})
	}
	columns := []screen.Column{{Title: "backup"}, {Title: "time"}, {Title: "kind"}, {Title: "size", Right: true}}
	_, err = fmt.Fprint(e.out, screen.Table(columns, rows, screen.New(e.out).Width()))
	return err
}
