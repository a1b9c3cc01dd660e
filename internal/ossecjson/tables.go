package ossecjson

import (
	"bytes"
	"encoding/json"
	"strings"

	"testudo/internal/ossecxml"
)

// kind says what becomes of a section that is there more than once.
type kind int

const (
	merges   kind = iota // one object of all
	repeats              // a list of objects
	replaces             // the last one counts
)

type sectionRule struct {
	kind  kind
	lists []string // options that are lists
}

// sectionRules are the sections that users see; others are left out.
var sectionRules = map[string]sectionRule{
	"active-response": {kind: repeats},
	"agentless":       {kind: repeats},
	"command":         {kind: repeats},
	"integration":     {kind: repeats},
	"labels":          {kind: repeats},
	"localfile":       {kind: repeats},
	"remote":          {kind: repeats},
	"syslog_output":   {kind: repeats},

	"cluster": {kind: replaces},

	"alerts":                 {},
	"auth":                   {},
	"cis-cat":                {lists: []string{"content"}},
	"client":                 {},
	"database_output":        {},
	"email_alerts":           {lists: []string{"email_to"}},
	"global":                 {lists: []string{"white_list"}},
	"open-scap":              {},
	"osquery":                {lists: []string{"pack"}},
	"reports":                {lists: []string{"email_to"}},
	"rootcheck":              {lists: []string{"rootkit_files", "rootkit_trojans", "windows_audit", "system_audit", "windows_apps", "windows_malware"}},
	"ruleset":                {lists: []string{"include", "rule", "rule_dir", "rule_exclude", "decoder", "decoder_dir", "decoder_exclude", "list"}},
	"sca":                    {},
	"syscheck":               {lists: []string{"ignore", "nodiff"}},
	"syscollector":           {},
	"vulnerability-detector": {lists: []string{"feed"}},
}

// specials are the options with rules of their own, by section and name.
var specials = map[string]func(b *budget, into *object, option *ossecxml.Element){
	"cluster/nodes":                   texts,
	"sca/policies":                    texts,
	"labels/label":                    label,
	"localfile/query":                 query,
	"open-scap/content":               content,
	"remote/protocol":                 protocol,
	"syscheck/directories":            directories,
	"syscheck/synchronization":        parts,
	"syscheck/whodata":                parts,
	"vulnerability-detector/provider": provider,
}

// texts makes a list of the texts of all children.
func texts(_ *budget, into *object, option *ossecxml.Element) {
	for _, child := range option.Children {
		if child.Text != "" {
			into.add(option.Name, child.Text)
		}
	}
}

// label has its text under a name of its own.
func label(_ *budget, into *object, option *ossecxml.Element) {
	o := new(object)
	o.set("value", textOf(option))
	for _, a := range option.Attrs {
		o.set(a.Name, a.Value)
	}
	into.add(option.Name, o)
}

// query is a piece of markup for others to read, which it stays.
func query(_ *budget, into *object, option *ossecxml.Element) {
	switch {
	case len(option.Children) > 0:
		into.set(option.Name, option.Inner)
	case option.Text != "":
		into.set(option.Name, unescaped.Replace(option.Text))
	}
}

// unescaped escapes what may stand as it is in our files, and nowhere else. The
// reader leaves "&lt;" and "&gt;" as written.
var unescaped = strings.NewReplacer("&lt;", "&lt;", "&gt;", "&gt;", "&", "&amp;", "<", "&lt;", ">", "&gt;")

// content names its profiles.
func content(_ *budget, into *object, option *ossecxml.Element) {
	if len(option.Attrs) == 0 && len(option.Children) == 0 {
		if option.Text != "" {
			into.add(option.Name, option.Text)
		}
		return
	}
	o, profiles := attributes(option), []any{}
	if text := strings.TrimSpace(option.Text); text != "" {
		profiles = append(profiles, text)
	}
	for _, child := range option.Children {
		if child.Text != "" {
			profiles = append(profiles, child.Text)
		}
	}
	o.set("profiles", profiles)
	into.add(option.Name, o)
}

// protocol may name several, parted by commas.
func protocol(b *budget, into *object, option *ossecxml.Element) {
	if option.Text == "" {
		return
	}
	b.split(option.Text, 1, func(part string) { into.add(option.Name, strings.TrimSpace(part)) })
}

// directories may name several that have the attributes in common.
func directories(b *budget, into *object, option *ossecxml.Element) {
	if option.Text == "" {
		return
	}
	b.split(option.Text, 1+len(option.Attrs), func(part string) {
		o := attributes(option)
		o.set("path", strings.TrimSpace(part))
		into.add(option.Name, o)
	})
}

// parts is an object whose texts become lists where they have commas.
func parts(b *budget, into *object, option *ossecxml.Element) {
	if len(option.Children) == 0 {
		return
	}
	o := new(object)
	for _, child := range option.Children {
		value := valueOf(child, "")
		if text, ok := value.(string); ok && strings.Contains(text, ",") {
			var list []any
			b.split(text, 1, func(part string) { list = append(list, part) })
			value = list
		}
		if value != nil {
			o.set(child.Name, value)
		}
	}
	into.set(option.Name, o)
}

// provider has a list of systems.
func provider(_ *budget, into *object, option *ossecxml.Element) {
	if value := valueOf(option, "os"); value != nil {
		into.add(option.Name, value)
	}
}

// mostParts bounds what commas make of a file.
const mostParts = 200_000

// budget is how many values commas may still make. Below zero they made too
// many.
type budget int

// split calls f with the parts of a text, each of which makes so many values.
func (b *budget) split(text string, values int, f func(part string)) {
	*b -= budget(values * (1 + strings.Count(text, ",")))
	if *b < 0 {
		return
	}
	for part := range strings.SplitSeq(text, ",") {
		f(part)
	}
}

// encode writes a value without the escapes that only web pages need.
func encode(value any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Known tells whether users see sections of the name.
func Known(section string) bool {
	_, known := sectionRules[section]
	return known
}
