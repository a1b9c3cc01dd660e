package rulesetapi

import (
	"context"
	"encoding/json"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
)

var (
	listsRules = query.Rules{
		Sort:   []string{"relative_dirname", "filename"},
		Select: []string{"relative_dirname", "filename", "items"},
	}
	listFilesRules = query.Rules{
		Sort:   []string{"relative_dirname", "filename"},
		Select: []string{"relative_dirname", "filename"},
	}
)

func (a *API) listFunctions() []dapi.Function {
	k := listKind
	return []dapi.Function{
		dapi.Typed(k.reader("get_lists", dapi.LocalMaster), a.getLists),
		dapi.Typed(k.reader("get_path_lists", dapi.LocalMaster), a.getPathLists),
		dapi.Typed(k.reader("get_list_file", dapi.LocalMaster), a.getListFile),
		dapi.Typed(k.uploader("upload_list_file"), a.uploadList),
		dapi.Typed(k.deleter("delete_list_file"), a.deleteList),
	}
}

type listsArgs struct {
	query.Args
	Directory string `json:"relative_dirname"`
	Names     texts  `json:"filename"`
}

// chosenLists are all lists, and those that the user wants and may read.
func (a *API) chosenLists(c *dapi.Call, r *result.Affected, args *listsArgs) (all, chosen []file, err error) {
	if all, err = a.listFiles(); err != nil {
		return nil, nil, err
	}
	if chosen, err = readable(c, listKind, r, all, args.Names); err != nil {
		return nil, nil, err
	}
	wanted := fileArgs{Directory: args.Directory, Names: args.Names}
	return all, slices.DeleteFunc(chosen, func(f file) bool { return !wanted.wants(f) }), nil
}

func (a *API) getLists(ctx context.Context, c *dapi.Call, args listsArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg: "All specified lists were returned", SomeMsg: "Some lists were not returned", NoneMsg: "No list was returned",
	}
	all, chosen, err := a.chosenLists(c, r, &args)
	if err != nil {
		return nil, err
	}
	lists, broken, err := a.lists.load(ctx, a.disk, all)
	if err != nil {
		return nil, err
	}
	may := setOf(chosen)
	tellBroken(r, listKind, broken, func(f file) bool { return may[f] })
	items := make([]json.RawMessage, 0, len(chosen))
	for _, l := range lists {
		if may[l.file] {
			items = append(items, l.json)
		}
	}
	can := listsRules
	can.Decoded = a.lists.decoded()
	return r, tell(r, &args.Args, items, can, "relative_dirname", "filename")
}

func (a *API) getPathLists(_ context.Context, c *dapi.Call, args listsArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg: "All specified paths were returned", SomeMsg: "Some paths were not returned", NoneMsg: "No path was returned",
	}
	_, files, err := a.chosenLists(c, r, &args)
	if err != nil {
		return nil, err
	}
	items := make([]json.RawMessage, len(files))
	for i, f := range files {
		items[i] = append(appendPath([]byte{'{'}, f), '}')
	}
	return r, tell(r, &args.Args, items, listFilesRules, "relative_dirname", "filename")
}

type listFileArgs struct {
	Name oneText `json:"filename" required:"true"`
	Raw  bool    `json:"raw"`
}

func (a *API) getListFile(_ context.Context, c *dapi.Call, args listFileArgs) (result.Result, error) {
	r := &result.Affected{AllMsg: "CDB list was returned", NoneMsg: "No list was returned"}
	name := string(args.Name)
	if err := mayRead(c, listKind, name); err != nil {
		return nil, err
	}
	f, problem := a.listNamed(name)
	if problem != nil {
		r.Fail(problem, fault.TextID(name))
		return r, nil
	}
	text, _, err := a.disk.readFile(f.path(), a.cfg.FileBytes)
	switch {
	case err != nil:
		r.Fail(listKind.fault(f, err), fault.TextID(name))
		return r, nil
	case args.Raw:
		return rawText(text)
	}
	r.Items, r.Total = []json.RawMessage{objectOf(parseList(text))}, 1
	return r, nil
}

type listUploadArgs struct {
	Name      oneText `json:"filename" required:"true"`
	Content   string  `json:"content" required:"true"`
	Overwrite bool    `json:"overwrite"`
}

func (a *API) uploadList(_ context.Context, c *dapi.Call, args listUploadArgs) (result.Result, error) {
	return a.upload(c, listKind, uploadArgs{Name: args.Name, Content: args.Content, Overwrite: args.Overwrite})
}

type listDeleteArgs struct {
	Name oneText `json:"filename" required:"true"`
}

func (a *API) deleteList(_ context.Context, c *dapi.Call, args listDeleteArgs) (result.Result, error) {
	return a.remove(c, listKind, deleteArgs{Name: args.Name})
}
