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

var decodersRules = query.Rules{
	Sort:   []string{"filename", "relative_dirname", "name", "position", "status"},
	Select: []string{"filename", "relative_dirname", "status", "name", "position", "details"},
	Always: []string{"filename", "position"},
}

func (a *API) decoderFunctions() []dapi.Function {
	k := decoderKind
	return []dapi.Function{
		dapi.Typed(k.reader("get_decoders", dapi.LocalAny), a.getDecoders),
		dapi.Typed(k.reader("get_decoders_files", dapi.LocalAny), a.getDecodersFiles),
		dapi.Typed(k.reader("get_decoder_file", dapi.LocalMaster), a.getDecoderFile),
		dapi.Typed(k.uploader("upload_decoder_file"), a.uploadDecoders),
		dapi.Typed(k.deleter("delete_decoder_file"), a.deleteDecoders),
	}
}

type decodersArgs struct {
	query.Args
	fileArgs
	Named   []string `json:"names"`
	Parents bool     `json:"parents"`
}

func (a *API) getDecoders(ctx context.Context, c *dapi.Call, args decodersArgs) (result.Result, error) {
	if err := args.check(); err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg: "All selected decoders were returned", SomeMsg: "Some decoders were not returned", NoneMsg: "No decoder was returned",
	}
	decoders, err := permitted(ctx, a, c, decoderKind, r, a.decoders, args.wants, func(one *decoder) file { return one.file })
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool, len(args.Named))
	for _, name := range args.Named {
		found[name] = false
	}
	items := make([]json.RawMessage, 0, len(decoders))
	for i := range decoders {
		one := &decoders[i]
		if len(args.Named) > 0 {
			if _, wanted := found[one.name]; !wanted {
				continue
			}
			found[one.name] = true
		}
		if args.wants(one.file) && (!args.Parents || !one.child) {
			items = append(items, one.json)
		}
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(args.Named))) {
		if !found[name] {
			r.Fail(fault.New(fault.DecoderAbsent, nil), fault.TextID(name))
		}
	}
	can := decodersRules
	can.Decoded = a.decoders.decoded()
	return r, tell(r, &args.Args, items, can, "filename", "position")
}

func (a *API) getDecodersFiles(_ context.Context, c *dapi.Call, args filesArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg: "All decoder files were returned", SomeMsg: "Some decoder files were not returned",
		NoneMsg: "No decoder files were returned",
	}
	return r, a.tellFiles(c, decoderKind, r, &args)
}

func (a *API) getDecoderFile(_ context.Context, c *dapi.Call, args wholeArgs) (result.Result, error) {
	r := &result.Affected{AllMsg: "Selected decoder was returned", NoneMsg: "No decoder was returned"}
	return a.wholeFile(c, decoderKind, r, args)
}

func (a *API) uploadDecoders(_ context.Context, c *dapi.Call, args uploadArgs) (result.Result, error) {
	return a.upload(c, decoderKind, args)
}

func (a *API) deleteDecoders(_ context.Context, c *dapi.Call, args deleteArgs) (result.Result, error) {
	return a.remove(c, decoderKind, args)
}
