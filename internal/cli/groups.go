package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"testudo/internal/agent"
	"testudo/internal/config"
	"testudo/internal/groups"
	"testudo/internal/home"
	"testudo/internal/nodedb"
	"testudo/internal/screen"
)

// groupsCmd manages agents' groups.
type groupsCmd struct {
	List   groupsListCmd   `cmd:"" help:"Show the groups, how many agents are in each and how many files it has."`
	Create groupsCreateCmd `cmd:"" help:"Make a group, on the master."`
	Remove groupsRemoveCmd `cmd:"" help:"Remove a group and its files, on the master. Its agents leave it."`
}

// sharedDir is where the directories of groups are, relative to the home.
const sharedDir = "etc/shared"

// madeFile is the file of a group that the node makes of the others.
const madeFile = "merged.mg"

// errMasters is returned for a change of groups on a worker.
var errMasters = errors.New("groups belong to the master")

// groupsListCmd shows the groups.
type groupsListCmd struct {
	homeFlag
	JSON bool `name:"json" help:"Write JSON."`
}

// groupReport is a group as list shows it.
type groupReport struct {
	Name   string `json:"name"`
	Agents *int   `json:"agents"` // nil when no database can be asked
	Files  int    `json:"files"`  // without the one that is made of the others
}

// Run shows them.
func (c *groupsListCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	list, err := listGroups(dir)
	if err != nil {
		return err
	}
	if err := countMembers(e.ctx, dir, list); err != nil {
		if e.ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(e.err, "testudo: how many agents are in each group is not known: %s\n", oneLine(err.Error()))
	}
	if c.JSON {
		return writeJSON(e.out, map[string]any{"groups": notNil(list)})
	}
	rows := make([][]string, 0, len(list))
	for _, g := range list {
		agents := "?"
		if g.Agents != nil {
			agents = strconv.Itoa(*g.Agents)
		}
		rows = append(rows, []string{g.Name, agents, strconv.Itoa(g.Files)})
	}
	columns := []screen.Column{{Title: "group"}, {Title: "agents", Right: true}, {Title: "files", Right: true}}
	text := screen.Table(columns, rows, screen.New(e.out).Width())
	if len(list) == 0 {
		text = fmt.Sprintf("No groups in %s.\n", filepath.Join(dir, sharedDir))
	}
	_, err = fmt.Fprint(e.out, text)
	return err
}

// listGroups finds the groups of a home and counts their files.
func listGroups(dir string) ([]groupReport, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	defer root.Close()
	names, err := groups.List(root)
	if err != nil {
		return nil, err
	}
	list := make([]groupReport, 0, len(names))
	for _, name := range names {
		files, err := countFiles(root, name)
		if err != nil {
			return nil, fmt.Errorf("count the files of group %s: %w", name, err)
		}
		list = append(list, groupReport{Name: name, Files: files})
	}
	return list, nil
}

// countFiles counts what people have put into a group's directory. What goes
// meanwhile is not counted.
func countFiles(root *os.Root, group string) (count int, err error) {
	err = fs.WalkDir(root.FS(), path.Join(sharedDir, group), func(_ string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case d.Type().IsRegular() && d.Name() != madeFile:
			count++
		}
		return nil
	})
	return count, err
}

// countMembers asks the node's database how many agents each group has.
func countMembers(ctx context.Context, dir string, list []groupReport) error {
	reader, err := nodedb.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer reader.Close()
	for i := range list {
		total, err := members(ctx, reader, list[i].Name)
		if err != nil {
			return err
		}
		list[i].Agents = &total
	}
	return nil
}

func members(ctx context.Context, reader *nodedb.Reader, group string) (int, error) {
	return reader.List(ctx, nodedb.Filter{Group: group, Limit: 1}, func(nodedb.Agent) error { return nil })
}

// changeFlags are what create and remove have in common.
type changeFlags struct {
	homeFlag
	Name string `arg:"" help:"The group: letters, digits, '.', '_' and '-'."`
	JSON bool   `name:"json" help:"Write JSON."`
}

// open opens the home of the node whose groups are to be changed: a master's.
func (c *changeFlags) open() (dir string, root *os.Root, err error) {
	if dir, err = c.locate(""); err != nil {
		return "", nil, err
	}
	cfg, problems := config.Load(config.LoadOptions{Home: dir})
	switch {
	case config.HasErrors(problems):
		return "", nil, fmt.Errorf("whether %s is a master's home cannot be told, as its configuration has errors; 'testudo node -t' shows them", dir)
	case !cfg.Cluster.Disabled && cfg.Cluster.Role != config.Master:
		return "", nil, fmt.Errorf("%w, and %s is the home of a worker; change them there, and they come here by themselves", errMasters, dir)
	}
	if root, err = os.OpenRoot(dir); err != nil {
		return "", nil, fmt.Errorf("open the home: %w", err)
	}
	return dir, root, nil
}

// groupsCreateCmd makes a group.
type groupsCreateCmd struct{ changeFlags }

// Validate is called by the parser.
func (c *groupsCreateCmd) Validate() error {
	if err := groups.CheckName(c.Name); err != nil && c.Name != "" { // without a name the parser says so
		return fmt.Errorf("%.64q: %w", c.Name, err)
	}
	return nil
}

// Run makes it.
func (c *groupsCreateCmd) Run(e *env) error {
	dir, root, err := c.open()
	if err != nil {
		return err
	}
	defer root.Close()
	owner := groups.Owner{UID: -1, GID: -1}
	if uid, gid, ok := home.Identity(); ok && os.Geteuid() == 0 {
		owner = groups.Owner{UID: uid, GID: gid}
	}
	if err := groups.Create(root, c.Name, owner); err != nil {
		return err
	}
	at := filepath.Join(dir, sharedDir, c.Name)
	if c.JSON {
		return writeJSON(e.out, map[string]any{"created": c.Name, "directory": at})
	}
	_, err = fmt.Fprintf(e.out, "Created group %s; its files are in %s.\n", c.Name, at)
	return err
}

// groupsRemoveCmd removes a group.
type groupsRemoveCmd struct{ changeFlags }

// Validate is called by the parser.
func (c *groupsRemoveCmd) Validate() error {
	if err := agent.CheckGroupName(c.Name); err != nil && c.Name != "" {
		return fmt.Errorf("%.64q: %w", c.Name, err)
	}
	return nil
}

// Run removes it.
func (c *groupsRemoveCmd) Run(e *env) error {
	dir, root, err := c.open()
	if err != nil {
		return err
	}
	defer root.Close()
	// Who is in it cannot be told later. It is for information, so that nobody
	// knows is no obstacle.
	was := []groupReport{{Name: c.Name}}
	if err := countMembers(e.ctx, dir, was); err != nil {
		was[0].Agents = nil
	}
	err = groups.Remove(root, c.Name)
	if errors.Is(err, groups.ErrLeft) { // the group is gone all the same
		fmt.Fprintln(e.err, err)
		err = nil
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(e.out, map[string]any{"removed": c.Name, "agents": was[0].Agents})
	}
	text := fmt.Sprintf("Removed group %s.", c.Name)
	if was[0].Agents != nil {
		text += fmt.Sprintf(" Agents that leave it: %d.", *was[0].Agents)
	}
	_, err = fmt.Fprintln(e.out, text)
	return err
}
