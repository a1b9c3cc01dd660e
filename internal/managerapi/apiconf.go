package managerapi

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"testudo/internal/config"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/ossecxml"
	"testudo/internal/result"
)

// apiConf tells the settings of this node's API.
func (a *API) apiConf(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := &result.Affected{
		SortCasting: []string{"str"},
		AllMsg:      "API configuration was successfully read in all specified nodes",
		SomeMsg:     "Not all API configurations could be read",
		NoneMsg:     "Could not read API configuration in any node",
	}
	if a.cfg.Alone {
		r.AllMsg, r.NoneMsg = "API configuration was successfully read", "Could not read API configuration"
	}
	return a.about(c, "read_api_config", r, func() error {
		conf, err := a.apiSettings()
		if err != nil {
			return err
		}
		item := result.Object{}
		if err := errors.Join(item.Set("node_name", a.name(c)), item.Set("node_api_config", conf)); err != nil {
			return err
		}
		return r.Add(item)
	})
}

func (a *API) apiSettings() (config.APIConf, error) {
	conf, err := config.ReadAPIConf(a.cfg.Dir)
	if err != nil {
		return conf, fault.Wrap(fault.Unspecified, config.APIConfPath+" cannot be used", err)
	}
	return conf, nil
}

// mayUpload says whether a configuration may take the place of the one before, by
// the settings of the API. Errors: fault.RemoteCommand, ProtectedSection,
// HigherVersions.
func (a *API) mayUpload(before []byte, roots []*ossecxml.Element) error {
	conf, err := a.apiSettings()
	if err != nil {
		return err
	}
	rules := conf.Upload
	for _, section := range sectionsOf(roots) {
		name, _ := section.Attr("name")
		switch {
		case section.Name == "localfile" && !commandsAllowed(rules.RemoteCommands.LocalFile, section),
			section.Name == "wodle" && name == "command" && !commandsAllowed(rules.RemoteCommands.Module, section):
			return fault.New(fault.RemoteCommand, nil)
		case (section.Name == "remote" || section.Name == "auth") && !rules.Agents.HigherVersions.Allow && higherVersions(section):
			return fault.New(fault.HigherVersions, nil)
		}
	}
	if rules.Limits.EPS.Allow {
		return nil
	}
	old, err := ossecxml.Parse(bytes.NewReader(before), ossecxml.Limits{Bytes: mostConf})
	if err != nil || !slices.Equal(eventLimits(old), eventLimits(roots)) {
		return fault.Wrap(fault.ProtectedSection, "global > limits > eps", err)
	}
	return nil
}

func sectionsOf(roots []*ossecxml.Element) (list []*ossecxml.Element) {
	for _, root := range roots {
		list = append(list, root.Children...)
	}
	return list
}

func commandsAllowed(rule config.APIConfCommands, section *ossecxml.Element) bool {
	return rule.Allow || !slices.ContainsFunc(section.Children, func(option *ossecxml.Element) bool {
		return option.Name == "command" && !slices.Contains(rule.Exceptions, option.Text)
	})
}

func higherVersions(section *ossecxml.Element) bool {
	for _, agents := range section.Children {
		for _, option := range agents.Children {
			if agents.Name == "agents" && option.Name == "allow_higher_versions" && strings.TrimSpace(option.Text) == "yes" {
				return true
			}
		}
	}
	return false
}

// eventLimits are what a configuration says of events a second.
func eventLimits(roots []*ossecxml.Element) (list []string) {
	for _, section := range sectionsOf(roots) {
		for _, limits := range section.Children {
			for _, eps := range limits.Children {
				if section.Name == "global" && limits.Name == "limits" && eps.Name == "eps" {
					list = append(list, strings.Join(strings.Fields(eps.Inner), ""))
				}
			}
		}
	}
	return list
}
