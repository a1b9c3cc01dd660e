package managerapi

import (
	"bytes"
	"context"
	"encoding/json"

	"testudo/internal/config"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/ossecjson"
	"testudo/internal/ossecxml"
	"testudo/internal/result"
)

// mostConf bounds a configuration, read or written.
const mostConf = 16 << 20

type confArgs struct {
	Section  string `json:"section"`
	Field    string `json:"field"`
	Raw      bool   `json:"raw"`
	Distinct bool   `json:"distinct"` // of the ruleset's folders each one once
}

func (a *API) readConf(_ context.Context, c *dapi.Call, args confArgs) (result.Result, error) {
	r := a.specified("Configuration was successfully read", "Could not read configuration", "Could not read configuration")
	var raw *result.Plain
	r2, err := a.about(c, "read", r, func() error {
		text, err := a.confText()
		if err == nil && args.Raw {
			raw, err = result.NewPlain(map[string]string{"message": string(bytes.ToValidUTF8(text, []byte("\ufffd")))})
			return err
		}
		var item json.RawMessage
		if err == nil {
			item, err = confItem(text, args)
		}
		if err != nil {
			return a.failHere(c, r, err)
		}
		return r.Add(item)
	})
	if raw != nil {
		return raw, nil
	}
	return r2, err
}

// confText reads the configuration as it is now. The error is
// fault.UnknownComponent.
func (a *API) confText() ([]byte, error) {
	text, err := readFile(a.path(config.ConfPath), mostConf)
	if err != nil {
		return nil, fault.Wrap(fault.UnknownComponent, "the configuration cannot be read", err)
	}
	return text, nil
}

// confItem converts a configuration, or what is asked for of it. Errors:
// fault.UnknownComponent, InvalidSection, SectionAbsent, InvalidField.
func confItem(text []byte, args confArgs) (json.RawMessage, error) {
	roots, err := ossecxml.Parse(bytes.NewReader(text), ossecxml.Limits{Bytes: mostConf})
	if err != nil {
		return nil, fault.Wrap(fault.UnknownComponent, err.Error(), err)
	}
	sections, err := ossecjson.Main(roots)
	if err != nil {
		return nil, err
	}
	if args.Section == "" {
		return sections.JSON(), nil
	}
	section := sections.Get(args.Section)
	switch {
	case !ossecjson.Known(args.Section):
		return nil, fault.New(fault.InvalidSection, args.Section)
	case section == nil:
		return nil, fault.New(fault.SectionAbsent, args.Section)
	case args.Field != "":
		if section, err = confField(section, args.Field); err != nil {
			return nil, err
		}
		if args.Distinct && args.Section == "ruleset" && (args.Field == "rule_dir" || args.Field == "decoder_dir") {
			if section, err = distinctValues(section, args.Field); err != nil {
				return nil, err
			}
		}
	}
	return result.Object{{Name: args.Section, Value: section}}.JSON(), nil
}

// confField reduces a section, or each of a list of them, to one field.
func confField(section json.RawMessage, field string) (json.RawMessage, error) {
	one := func(data json.RawMessage) (result.Object, error) {
		o, err := result.ReadObject(data, result.Limits{})
		if err != nil {
			return nil, err
		}
		value := o.Get(field)
		if value == nil {
			return nil, fault.New(fault.InvalidField, nil)
		}
		return result.Object{{Name: field, Value: value}}, nil
	}
	if section[0] != '[' {
		o, err := one(section)
		return o.JSON(), err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(section, &list); err != nil {
		return nil, err
	}
	reduced := make([]result.Object, len(list))
	for i, data := range list {
		o, err := one(data)
		if err != nil {
			return nil, err
		}
		reduced[i] = o
	}
	return json.Marshal(reduced)
}

// distinctValues takes what a list has again out of it.
func distinctValues(section json.RawMessage, field string) (json.RawMessage, error) {
	o, err := result.ReadObject(section, result.Limits{})
	if err != nil {
		return nil, err
	}
	var list, once []json.RawMessage
	if err := json.Unmarshal(o.Get(field), &list); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, value := range list {
		if !seen[string(value)] {
			seen[string(value)] = true
			once = append(once, value)
		}
	}
	if err := o.Set(field, once); err != nil {
		return nil, err
	}
	return o.JSON(), nil
}
