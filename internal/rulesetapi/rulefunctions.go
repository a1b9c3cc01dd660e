package rulesetapi

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
)

var (
	rulesRules = query.Rules{
		Sort: []string{"filename", "relative_dirname", "description", "id", "level", "status"},
		Select: []string{
			"filename", "relative_dirname", "id", "level", "status", "details", "pci_dss", "gpg13", "gdpr", "hipaa",
			"nist_800_53", "tsc", "mitre", "groups", "description",
		},
		Always: []string{"id"},
	}
	filesRules = query.Rules{
		Sort:   []string{"filename", "relative_dirname", "status"},
		Select: []string{"filename", "relative_dirname", "status"},
		Always: []string{"filename"},
	}
	// bareRules are those of items that are texts.
	bareRules = query.Rules{Sort: []string{}}
)

func (a *API) ruleFunctions() []dapi.Function {
	k := ruleKind
	return []dapi.Function{
		dapi.Typed(k.reader("get_rules", dapi.LocalAny), a.getRules),
		dapi.Typed(k.reader("get_groups", dapi.LocalAny), a.getGroups),
		dapi.Typed(k.reader("get_requirement", dapi.LocalAny), a.getRequirement),
		dapi.Typed(k.reader("get_rules_files", dapi.LocalAny), a.getRulesFiles),
		dapi.Typed(k.reader("get_rule_file", dapi.LocalMaster), a.getRuleFile),
		dapi.Typed(k.uploader("upload_rule_file"), a.uploadRules),
		dapi.Typed(k.deleter("delete_rule_file"), a.deleteRules),
	}
}

// ruleIDs are numbers, or texts that hold them.
type ruleIDs []int64

// UnmarshalJSON reads a list of ids.
func (ids *ruleIDs) UnmarshalJSON(data []byte) error {
	var list []json.Number
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*ids = make(ruleIDs, len(list))
	for i, n := range list {
		id, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil {
			return err
		}
		(*ids)[i] = id
	}
	return nil
}

type rulesArgs struct {
	query.Args
	fileArgs
	IDs        ruleIDs         `json:"rule_ids"`
	Group      string          `json:"group"`
	PCIDSS     string          `json:"pci_dss"`
	GDPR       string          `json:"gdpr"`
	HIPAA      string          `json:"hipaa"`
	NIST80053  string          `json:"nist_800_53"`
	GPG13      string          `json:"gpg13"`
	TSC        string          `json:"tsc"`
	Mitre      string          `json:"mitre"`
	LevelRange json.RawMessage `json:"level"` // "3", 3 or "3-7"
}

// required are the values asked for, in the order of requirements.
func (a *rulesArgs) required() [len(requirements)]string {
	return [...]string{a.PCIDSS, a.GDPR, a.HIPAA, a.NIST80053, a.GPG13, a.TSC, a.Mitre}
}

// levels reads the range of levels.
func (a *rulesArgs) levels() (low, high int, err error) {
	if a.LevelRange == nil {
		return 0, 1<<16 - 1, nil
	}
	text := string(a.LevelRange)
	if text[0] == '"' {
		if err := json.Unmarshal(a.LevelRange, &text); err != nil {
			return 0, 0, err
		}
	}
	first, last, ranged := strings.Cut(text, "-")
	l, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return 0, 0, fault.New(fault.BadLevel, nil)
	}
	h := l
	if ranged {
		if h, err = strconv.ParseUint(last, 10, 16); err != nil {
			return 0, 0, fault.New(fault.BadLevel, nil)
		}
	}
	return int(l), int(h), nil
}

// permittedRules gives the rules of files that the user may read, by id.
func (a *API) permittedRules(ctx context.Context, c *dapi.Call, r *result.Affected, chosen func(file) bool) ([]rule, error) {
	return permitted(ctx, a, c, ruleKind, r, a.rules, chosen, func(one *rule) file { return one.file })
}

func (a *API) getRules(ctx context.Context, c *dapi.Call, args rulesArgs) (result.Result, error) {
	low, high, err := args.levels()
	if err != nil {
		return nil, err
	}
	if err := args.check(); err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg: "All selected rules were returned", SomeMsg: "Some rules were not returned", NoneMsg: "No rule was returned",
	}
	rules, err := a.permittedRules(ctx, c, r, args.wants)
	if err != nil {
		return nil, err
	}
	missing := make(map[int64]bool, len(args.IDs))
	for _, id := range args.IDs {
		missing[id] = true
	}
	required := args.required()
	items := make([]json.RawMessage, 0, len(rules))
	wanted := make(map[int64]bool, len(args.IDs))
	for id := range missing {
		wanted[id] = true
	}
	for i := range rules {
		one := &rules[i]
		if len(wanted) > 0 && !wanted[one.id] {
			continue
		}
		delete(missing, one.id)
		if one.level >= low && one.level <= high && args.wants(one.file) && one.meets(args.Group, &required) {
			items = append(items, one.json)
		}
	}
	for id := range missing {
		r.Fail(fault.New(fault.RuleAbsent, nil), fault.NumberID(id))
	}
	can := rulesRules
	can.Decoded = a.rules.decoded()
	return r, tell(r, &args.Args, items, can, "id")
}

// meets tells whether the rule is in the group and refers to what is required.
func (r *rule) meets(group string, required *[len(requirements)]string) bool {
	if group != "" && !slices.Contains(r.groups, group) {
		return false
	}
	for i, value := range required {
		if value != "" && !slices.Contains(r.requirements[i], value) {
			return false
		}
	}
	return true
}

type bareArgs struct{ query.Args }

func (a *API) getGroups(ctx context.Context, c *dapi.Call, args bareArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg: "All groups in rules were returned", SomeMsg: "Some groups in rules were not returned",
		NoneMsg: "No groups in rules were returned",
	}
	return r, a.values(ctx, c, r, &args.Args, func(one *rule) []string { return one.groups })
}

type requirementArgs struct {
	query.Args
	Requirement string `json:"requirement"`
}

func (a *API) getRequirement(ctx context.Context, c *dapi.Call, args requirementArgs) (result.Result, error) {
	r := &result.Affected{AllMsg: "All selected rules were returned", NoneMsg: "No rule was returned"}
	at := slices.Index(requirements[:], strings.ReplaceAll(args.Requirement, "-", "_"))
	if at < 0 {
		e := fault.New(fault.BadRequirement, args.Requirement)
		e.Remedy = "Valid ones are ['" + strings.Join(requirements[:], "', '") + "']"
		r.Fail(e, fault.TextID(args.Requirement))
		return r, nil
	}
	return r, a.values(ctx, c, r, &args.Args, func(one *rule) []string { return one.requirements[at] })
}

// values tells what all rules have of something, each value once.
func (a *API) values(ctx context.Context, c *dapi.Call, r *result.Affected, args *query.Args, of func(*rule) []string) error {
	rules, err := a.permittedRules(ctx, c, r, nil)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var all []string
	for i := range rules {
		for _, value := range of(&rules[i]) {
			if !seen[value] {
				seen[value] = true
				all = append(all, value)
			}
		}
	}
	slices.SortFunc(all, compareText)
	items := make([]json.RawMessage, len(all))
	for i, value := range all {
		items[i] = appendText(nil, value)
	}
	return tell(r, args, items, bareRules)
}

type filesArgs struct {
	query.Args
	fileArgs
}

func (a *API) getRulesFiles(_ context.Context, c *dapi.Call, args filesArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg: "All rule files were returned", SomeMsg: "Some rule files were not returned", NoneMsg: "No rule files were returned",
	}
	return r, a.tellFiles(c, ruleKind, r, &args)
}

// tellFiles tells of the files of rules or decoders.
func (a *API) tellFiles(c *dapi.Call, k *kind, r *result.Affected, args *filesArgs) error {
	if err := args.check(); err != nil {
		return err
	}
	files, err := a.files(k)
	if err != nil {
		return err
	}
	files, err = readable(c, k, r, files, args.Names)
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(f file) bool { return !args.wants(f) })
	return filesAnswer(r, &args.Args, files, filesRules, true, "filename")
}

func (a *API) getRuleFile(_ context.Context, c *dapi.Call, args wholeArgs) (result.Result, error) {
	r := &result.Affected{AllMsg: "Selected rule was returned", NoneMsg: "No rule was returned"}
	return a.wholeFile(c, ruleKind, r, args)
}

func (a *API) uploadRules(_ context.Context, c *dapi.Call, args uploadArgs) (result.Result, error) {
	return a.upload(c, ruleKind, args)
}

func (a *API) deleteRules(_ context.Context, c *dapi.Call, args deleteArgs) (result.Result, error) {
	return a.remove(c, ruleKind, args)
}
