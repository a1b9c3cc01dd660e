package agentapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/groups"
	"testudo/internal/query"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// Files and directories of groups.
const (
	sharedDir  = "etc/shared"
	confFile   = "agent.conf"
	mergedFile = "merged.mg"
	rulesFile  = "ar.conf" // of all groups, in sharedDir
)

type groupsArgs struct {
	query.Args
	Groups    []string `json:"group_list"`
	Algorithm string   `json:"hash_algorithm"`
}

// groupList gives the names of the groups that there are: directories.
func (a *API) groupList() ([]string, error) {
	names, err := groups.List(a.cfg.Home)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return names, nil
}

// permittedGroups parts the groups named, or all for nil, by what the user may
// read. The error is that of one who may read none of those he named.
func (a *API) permittedGroups(c *dapi.Call, action string, named []string) (rbac.Verdict, error) {
	v, err := c.Permissions.Filter(rbac.Ask{Action: action, Type: groupID, Named: named, All: a.groupList})
	if err == nil && v.Refused() {
		err = rbac.Denied(groupID, v.Denied...)
	}
	return v, err
}

// oneGroup is the group that a request is about: the first named.
func (a *API) oneGroup(c *dapi.Call, action string, named []string) (string, error) {
	if len(named) == 0 {
		return "", errors.New("no group is named")
	}
	v, err := a.permittedGroups(c, action, named[:1])
	if err != nil {
		return "", err
	}
	known, err := a.groupList()
	if err != nil {
		return "", err
	}
	if !slices.Contains(known, v.Allowed[0]) {
		return "", fault.New(fault.GroupAbsent, nil)
	}
	return v.Allowed[0], nil
}

func (a *API) groups(ctx context.Context, c *dapi.Call, args groupsArgs) (result.Result, error) {
	return a.listGroups(ctx, c, args)
}

func (a *API) listGroups(ctx context.Context, c *dapi.Call, args groupsArgs) (*result.Affected, error) {
	req, err := args.Request(0)
	if err != nil {
		return nil, err
	}
	sum, err := hasher(args.Algorithm)
	if err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg:  "All selected groups information was returned",
		SomeMsg: "Some groups information was not returned",
		NoneMsg: "No group information was returned",
	}
	wanted, err := a.wantedGroups(c, args.Groups, r)
	if err != nil {
		return nil, err
	}
	items, err := a.groupItems(ctx, wanted, sum)
	if err != nil {
		return nil, err
	}
	fields := []string{"name", "count", "mergedSum", "configSum"}
	r.Items, r.Total, err = query.Items(&req, items, query.Rules{Sort: fields, Select: fields, Always: fields[:1]})
	return r, err
}

// wantedGroups tells which groups may be listed. Those that were named and may
// not, or do not exist, are taken down in r.
func (a *API) wantedGroups(c *dapi.Call, named []string, r *result.Affected) (func(name string) bool, error) {
	if named == nil && c.Permissions.AllowsAll(groupRead, groupID) {
		return func(string) bool { return true }, nil
	}
	v, err := a.permittedGroups(c, groupRead, named)
	if err != nil {
		return nil, err
	}
	known, err := a.groupList()
	if err != nil {
		return nil, err
	}
	for _, name := range v.Allowed {
		if named != nil && !slices.Contains(known, name) {
			r.Fail(fault.New(fault.GroupAbsent, nil), fault.TextID(name))
		}
	}
	if len(v.Denied) > 0 {
		r.Fail(rbac.Denied(groupID, v.Denied...), fault.TextIDs(v.Denied...)...)
	}
	return func(name string) bool { return slices.Contains(v.Allowed, name) }, nil
}

// groupItems lists the groups of the table with how many agents they have and
// the hashes of their files, by name. One without a directory has no hashes.
func (a *API) groupItems(ctx context.Context, wanted func(name string) bool, sum sumFunc) ([]json.RawMessage, error) {
	if a.cfg.Database == nil {
		return nil, errNoDatabase
	}
	type group struct {
		name   string
		agents int64
	}
	var list []group
	statement := "SELECT name, (SELECT count(*) FROM belongs WHERE id_group = `group`.id) FROM `group` ORDER BY name"
	err := a.cfg.Database.Rows(ctx, query.Statement{SQL: statement, Columns: 2}, func(r Row) error {
		if g := (group{string(r.AppendText(nil, 0)), r.Int64(1)}); wanted(g.name) {
			list = append(list, g)
		}
		return nil
	})
	if err != nil {
		return nil, refused(err)
	}
	items := make([]json.RawMessage, 0, len(list))
	for _, g := range list {
		item := appendText([]byte(`{"name":`), []byte(g.name))
		item = fmt.Appendf(item, `,"count":%d`, g.agents)
		for _, f := range []struct{ member, file string }{{"mergedSum", mergedFile}, {"configSum", confFile}} {
			hash, err := a.fileHash(ctx, path.Join(sharedDir, g.name, f.file), sum)
			if err != nil {
				return nil, err
			}
			if hash != "" {
				item = fmt.Appendf(item, `,"%s":"%s"`, f.member, hash)
			}
		}
		items = append(items, append(item, '}'))
	}
	return items, nil
}

type groupFilesArgs struct {
	query.Args
	Groups    []string `json:"group_list"`
	Algorithm string   `json:"hash_algorithm"`
}

// groupFiles lists the files that agents of one group get.
func (a *API) groupFiles(ctx context.Context, c *dapi.Call, args groupFilesArgs) (result.Result, error) {
	req, err := args.Request(0)
	if err != nil {
		return nil, err
	}
	sum, err := hasher(args.Algorithm)
	if err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg: "All selected groups files were returned", SomeMsg: "Some groups files were not returned",
		NoneMsg: "No groups files were returned",
	}
	name, err := a.oneGroup(c, groupRead, args.Groups)
	if errors.Is(err, fault.New(fault.GroupAbsent, nil)) {
		r.Fail(fault.New(fault.GroupAbsent, nil), fault.TextID(args.Groups[0]))
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	items, err := a.fileItems(ctx, name, sum)
	if err != nil {
		return nil, err
	}
	fields := []string{"filename", "hash"}
	r.Items, r.Total, err = query.Items(&req, items, query.Rules{Sort: fields, Select: fields, Always: fields[:1]})
	return r, err
}

func (a *API) fileItems(ctx context.Context, group string, sum sumFunc) (items []json.RawMessage, err error) {
	dir, err := a.cfg.Home.Open(path.Join(sharedDir, group))
	if err != nil {
		return nil, fault.Wrap(fault.GroupFiles, nil, err)
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, fault.Wrap(fault.GroupFiles, nil, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	add := func(name, file string) error {
		hash, err := a.fileHash(ctx, file, sum)
		if err != nil || hash == "" {
			return err
		}
		items = append(items, fmt.Appendf(appendText([]byte(`{"filename":`), []byte(name)), `,"hash":"%s"}`, hash))
		return nil
	}
	for _, e := range entries {
		if err := add(e.Name(), path.Join(sharedDir, group, e.Name())); err != nil {
			return nil, err
		}
	}
	return items, add(rulesFile, path.Join(sharedDir, rulesFile))
}

// absent tells whether an error says that there is no such file.
func absent(err error) bool { return errors.Is(err, os.ErrNotExist) }
