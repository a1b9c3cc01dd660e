package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/ossecjson"
	"testudo/internal/ossecxml"
	"testudo/internal/query"
	"testudo/internal/result"
)

// confLimit bounds a file of a group that is shown.
const confLimit = 16 << 20

type agentConfArgs struct {
	Groups []string     `json:"group_list" required:"true"`
	Name   string       `json:"filename"`
	Offset *json.Number `json:"offset"`
	Limit  *json.Number `json:"limit"`
	Raw    bool         `json:"raw"`
}

// agentConf shows the configuration that the agents of a group get.
func (a *API) agentConf(_ context.Context, c *dapi.Call, args agentConfArgs) (result.Result, error) {
	page := query.Args{Offset: args.Offset, Limit: args.Limit}
	req, err := page.Request(defaultLimit)
	if err != nil {
		return nil, err
	}
	if args.Name == "" {
		args.Name = confFile
	}
	text, err := a.groupFile(c, args.Groups, args.Name)
	if err != nil {
		return nil, err
	}
	if args.Raw {
		return data(string(text))
	}
	shown, err := configuration(text, &req)
	if err != nil {
		return nil, err
	}
	return data(shown)
}

// data is the answer of functions that show one thing.
func data(v any) (result.Result, error) {
	var o result.Object
	if err := o.Set("data", v); err != nil {
		return nil, err
	}
	return result.NewPlain(o)
}

// configuration is an agent.conf as users see it: a piece of its parts, and how
// many there are.
func configuration(text []byte, req *query.Request) (result.Object, error) {
	roots, err := ossecxml.Parse(bytes.NewReader(text), ossecxml.Limits{})
	if err != nil {
		return nil, fault.Wrap(fault.UnknownComponent, err.Error(), err)
	}
	parts, err := ossecjson.Agent(roots)
	if err != nil {
		return nil, err
	}
	items, total, err := query.Items(req, parts, query.Rules{})
	if err != nil {
		return nil, err
	}
	o := result.Object{{Name: "total_affected_items", Value: strconv.AppendInt(nil, int64(total), 10)}}
	return o, o.Set("affected_items", append([]json.RawMessage{}, items...))
}

// groupFile reads a file of the group named; ar.conf is that of all groups.
func (a *API) groupFile(c *dapi.Call, groups []string, name string) ([]byte, error) {
	group, err := a.oneGroup(c, groupRead, groups)
	if err != nil {
		return nil, err
	}
	if name != path.Base(name) || name == "." || name == ".." || name == "/" {
		return nil, fault.New(fault.FileAbsent, name)
	}
	file := path.Join(sharedDir, group, name)
	if _, err := a.cfg.Home.Lstat(file); absent(err) && name == rulesFile {
		file = path.Join(sharedDir, name)
	}
	info, err := a.cfg.Home.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil, fault.Wrap(fault.FileAbsent, file, err)
	}
	f, err := a.cfg.Home.Open(file)
	if err != nil {
		return nil, fault.Wrap(fault.FileAbsent, file, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, confLimit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fault.Wrap(fault.FileUnreadable, file, err)
	}
	if len(text) > confLimit {
		return nil, fault.New(fault.FileUnreadable, file+" is too large")
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD")), nil
}

type fileConfArgs struct {
	Groups []string `json:"group_list" required:"true"`
	Name   string   `json:"filename"`
	Type   texts    `json:"type_conf"`
	Raw    bool     `json:"raw"`
}

// Types of files of a group.
const (
	typeConf    = "conf"
	typeFiles   = "rootkit_files"
	typeTrojans = "rootkit_trojans"
	typeRCL     = "rcl"
)

// fileConf shows a file of a group, taken apart after its type.
func (a *API) fileConf(_ context.Context, c *dapi.Call, args fileConfArgs) (result.Result, error) {
	if args.Name == "" {
		args.Name = confFile
	}
	kind, err := fileType(args.Name, args.Type)
	if err != nil {
		return nil, err
	}
	text, err := a.groupFile(c, args.Groups, args.Name)
	if err != nil {
		return nil, err
	}
	if args.Raw {
		return data(string(text))
	}
	switch kind {
	case typeConf:
		shown, err := configuration(text, noneNamed(0))
		if err != nil {
			return nil, err
		}
		return data(shown)
	case typeFiles:
		return data(rootkitFiles(string(text)))
	case typeTrojans:
		return data(rootkitTrojans(string(text)))
	case typeRCL:
		return data(auditFile(string(text)))
	}
	return data(slices.Collect(contentLines(string(text))))
}

// fileType is the type that is asked for, or the one that goes with the name;
// rulesFile for that file.
func fileType(name string, asked texts) (string, error) {
	if len(asked) > 0 && asked[0] != "" {
		known := []string{typeConf, typeFiles, typeTrojans, typeRCL}
		if !slices.Contains(known, asked[0]) {
			return "", fault.New(fault.InvalidFileType, asked[0]+". Valid types: "+strings.Join(known, ", "))
		}
		return asked[0], nil
	}
	switch name {
	case confFile:
		return typeConf, nil
	case "rootkit_files.txt":
		return typeFiles, nil
	case "rootkit_trojans.txt":
		return typeTrojans, nil
	case rulesFile:
		return rulesFile, nil
	}
	return typeRCL, nil
}
