package rulesetapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/ossecxml"
)

// rule is one rule of a file. It is shared and does not change.
type rule struct {
	file         file
	id           int64
	level        int
	groups       []string
	requirements [len(requirements)][]string
	json         json.RawMessage
}

// requirements are the catalogues of requirements that rules refer to by groups
// such as "pci_dss_10.2.5", in the order in which users are told of them.
var requirements = [...]string{"pci_dss", "gdpr", "hipaa", "nist_800_53", "gpg13", "tsc", "mitre"}

// shownOrder is the order of the requirements in a rule.
var shownOrder = [...]int{0, 4, 1, 2, 3, 5, 6}

// patterns are the elements of a rule that hold an expression, and may say of
// which type it is or that it must not match.
var patterns = map[string]bool{
	"match": true, "regex": true, "action": true, "data": true, "dstgeoip": true, "dstport": true, "extra_data": true,
	"hostname": true, "id": true, "location": true, "program_name": true, "protocol": true, "srcgeoip": true,
	"srcport": true, "status": true, "system_name": true, "url": true, "user": true,
}

// parseRules reads a file of rules.
func parseRules(f file, text []byte) ([]rule, error) {
	roots, err := parseXML(text)
	if err != nil {
		return nil, err
	}
	variables := variablesOf(roots)
	var rules []rule
	for _, group := range roots {
		if group.Name != "group" {
			continue
		}
		groups, _ := group.Attr("name")
		for _, e := range group.Children {
			if e.Name != "rule" {
				continue
			}
			r, err := readRule(f, e, splitList(groups), variables)
			if err != nil {
				return nil, err
			}
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// variablesOf collects <var name="X">, which patterns refer to as $X.
func variablesOf(roots []*ossecxml.Element) map[string]string {
	variables := map[string]string{}
	for _, e := range roots {
		if name, ok := e.Attr("name"); ok && e.Name == "var" {
			variables["$"+name] = e.Text
		}
	}
	return variables
}

// numberOf reads an attribute that must be a number.
func numberOf(e *ossecxml.Element, attr string, bits int) (int64, error) {
	text, _ := e.Attr(attr)
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, bits)
	if err != nil || n < 0 {
		return 0, &ossecxml.SyntaxError{Line: e.Line, Text: fmt.Sprintf("attribute %s of <rule> is %.40q, no number", attr, text)}
	}
	return n, nil
}

func readRule(f file, e *ossecxml.Element, outer []string, variables map[string]string) (rule, error) {
	r := rule{file: f}
	var err error
	if r.id, err = numberOf(e, "id", 64); err != nil {
		return r, err
	}
	level, err := numberOf(e, "level", 16)
	if err != nil {
		return r, err
	}
	r.level = int(level)
	var d details
	for _, a := range e.Attrs {
		if a.Name != "id" && a.Name != "level" {
			d.addText(a.Name, a.Value)
		}
	}
	var groups []string
	var description strings.Builder
	for _, c := range e.Children {
		switch c.Name {
		case "group":
			groups = append(groups, splitList(c.Text)...)
		case "description":
			description.WriteString(c.Text)
		case "mitre":
			for _, id := range c.Children {
				if id.Name == "id" {
					r.require(len(requirements)-1, strings.TrimSpace(id.Text))
				}
			}
		default:
			addDetail(&d, c, variables)
		}
	}
	r.group(append(groups, outer...))
	r.json = r.encode(&d, description.String())
	return r, nil
}

// addDetail adds what an element of a rule says.
func addDetail(d *details, e *ossecxml.Element, variables map[string]string) {
	text := e.Text
	if v, ok := variables[text]; ok {
		text = v
	}
	switch {
	case e.Name == "list" || e.Name == "info":
		d.addNamed(e.Name, text, e.Attrs)
	case e.Name == "field":
		name, attrs := e.Name, e.Attrs
		if v, ok := e.Attr("name"); ok {
			name = v
			attrs = slices.DeleteFunc(slices.Clone(attrs), func(a ossecxml.Attr) bool { return a.Name == "name" })
		}
		d.addPattern(name, text, attrs)
	case patterns[e.Name] || len(e.Attrs) > 0:
		d.addPattern(e.Name, text, e.Attrs)
	default:
		d.addText(e.Name, text)
	}
}

// group takes down the groups of a rule, those of requirements apart.
func (r *rule) group(groups []string) {
next:
	for _, g := range groups {
		for i, prefix := range requirements {
			if value, ok := strings.CutPrefix(g, prefix+"_"); ok {
				r.require(i, value)
				continue next
			}
		}
		if !slices.Contains(r.groups, g) {
			r.groups = append(r.groups, g)
		}
	}
}

func (r *rule) require(i int, value string) {
	if !slices.Contains(r.requirements[i], value) {
		r.requirements[i] = append(r.requirements[i], value)
	}
}

// splitList takes a list with commas apart, without empty parts.
func splitList(text string) (list []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// encode writes the rule as users see it.
func (r *rule) encode(d *details, description string) json.RawMessage {
	dst := appendFile([]byte{'{'}, r.file, false)
	dst = fmt.Appendf(dst, `, "id": %d, "level": %d, "status": "%s", "details": `, r.id, r.level, r.file.status())
	dst = d.append(dst)
	for _, i := range shownOrder {
		dst = append(append(dst, `, "`...), requirements[i]...)
		dst = appendTexts(append(dst, `": `...), r.requirements[i])
	}
	dst = appendTexts(append(dst, `, "groups": `...), r.groups)
	dst = appendText(append(dst, `, "description": `...), description)
	return slices.Clip(append(dst, '}'))
}

// appendFile writes the members that say where something stands.
func appendFile(dst []byte, f file, status bool) []byte {
	dst = appendText(append(dst, `"filename": `...), f.name)
	dst = appendText(append(dst, `, "relative_dirname": `...), f.dir)
	if status {
		dst = append(append(append(dst, `, "status": "`...), f.status()...), '"')
	}
	return dst
}

// orderRules orders rules by id; of one id, which a later rule may overwrite,
// in the order of the files.
func orderRules(rules []rule) {
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(a.id, b.id) })
}
