package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/ossecxml"
)

// daemonReader takes options of other daemons' sections of ossec.conf over.
type daemonReader struct {
	*report
	config *Config

	newForce bool                // <auth><force> is there
	oldForce []*ossecxml.Element // what stands for it in old files
}

// tableOf finds fields by their paths.
func tableOf(fields []field) map[string]*field {
	at := make(map[string]*field, len(fields))
	for i := range fields {
		at[fields[i].path] = &fields[i]
	}
	return at
}

// all reads the sections of all roots; of an option given again the last counts.
func (d *daemonReader) all(roots []*ossecxml.Element) {
	agentDB, enrolment := d.config.AgentDBEmbedded(), d.config.Testudo.Services.Enrolment != External
	at := tableOf(daemonFields())
	for _, root := range roots {
		if root.Name != "ossec_config" {
			continue
		}
		for _, section := range root.Children {
			switch {
			case section.Name == "global" && agentDB:
				d.options(section, "global.", at)
			case section.Name == "wdb" && agentDB:
				d.databases(section, at)
			case section.Name == "auth" && enrolment:
				d.auth(section)
			}
		}
	}
	d.authDone()
}

// databases reads <wdb>. The agent database is the only one with backups.
func (d *daemonReader) databases(section *ossecxml.Element, at map[string]*field) {
	for _, backup := range section.Children {
		if backup.Name != "backup" {
			continue
		}
		if name, _ := backup.Attr("database"); name != "global" {
			d.warnf(backup.Line, "wdb.backup", "database=%.32q has no backups; only \"global\" has", name)
			continue
		}
		d.options(backup, "wdb.backup.", at)
	}
}

func (d *daemonReader) options(section *ossecxml.Element, prefix string, at map[string]*field) {
	for _, option := range section.Children {
		if f := at[prefix+option.Name]; f != nil { // all else is other daemons' matter
			d.set(f, option.Text, option.Line)
		}
	}
}

// set takes an option's text over and says whether it made sense.
func (d *daemonReader) set(f *field, text string, line int) bool {
	n, err := confNode(f, strings.TrimSpace(text), line)
	if err == nil {
		err = f.set(d.config, n, true)
	}
	if err != nil {
		d.errorf(line, f.path, "%s", err)
		return false
	}
	d.config.sources[f.path] = fmt.Sprintf("%s:%d", d.file, line)
	return true
}

// confNode makes of an option's text what the field's kind is set from: yes and
// no, texts, whole numbers, and times such as 600, 10m, 1h or 1d.
func confNode(f *field, text string, line int) (*node, error) {
	switch f.at(Default("")).(type) {
	case *bool:
		switch text {
		case "yes":
			return &node{kind: kindBool, text: "true", line: line}, nil
		case "no":
			return &node{kind: kindBool, text: "false", line: line}, nil
		}
		return nil, fmt.Errorf("must be yes or no, not %.32q", text)
	case *string:
		return &node{kind: kindText, text: text, line: line}, nil
	case *int:
		if _, err := parseDigits(text); err != nil {
			return nil, fmt.Errorf("must be a whole number, not %.32q", text)
		}
		return &node{kind: kindNumber, text: text, line: line}, nil
	}
	seconds, err := parseConfTime(text)
	if err != nil {
		return nil, err
	}
	return &node{kind: kindNumber, text: strconv.FormatInt(seconds, 10), line: line}, nil
}

// parseConfTime reads a time as ossec.conf has it: digits, then s, m, h, d, w or
// nothing, which is seconds.
func parseConfTime(text string) (seconds int64, err error) {
	digits, unit := text, int64(1)
	if text != "" {
		if n := strings.IndexByte("smhdw", text[len(text)-1]); n >= 0 {
			digits, unit = text[:len(text)-1], []int64{1, 60, hour, day, 7 * day}[n]
		}
	}
	number, err := parseDigits(digits)
	if err != nil {
		return 0, fmt.Errorf("%.32q is no time such as 600, 10m or 1h", text)
	}
	return number * unit, nil
}

// parseDigits reads up to nine decimal digits, so that no product overflows.
func parseDigits(text string) (int64, error) {
	if strings.Trim(text, "0123456789") != "" || len(text) > 9 {
		return 0, errors.New("not up to nine digits")
	}
	return strconv.ParseInt(text, 10, 64)
}

// readDaemonOptions takes over the internal options of other daemons: the local
// file's value where it has one, else that of the shipped file. These daemons
// read the files line by line, and what is wrong in one line spoils no other.
func (c *Config) readDaemonOptions(shipped, local *report) {
	var missing []field
	if c.AgentDBEmbedded() {
		missing = optionFields()
	}
	if c.EnrolmentEmbedded() {
		missing = append(missing, authOptionFields()...)
	}
	if c.Cluster.Disabled || missing == nil {
		return
	}
	for _, r := range []*report{local, shipped} {
		data, err := readSmall(r.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.errorf(0, "", "%s", err)
			continue
		}
		values := parseOptions(string(data))
		missing = slices.DeleteFunc(missing, func(f field) bool {
			value, ok := values[f.path]
			if ok {
				r.daemonOption(c, &f, value)
			}
			return ok
		})
	}
}

func (r *report) daemonOption(c *Config, f *field, value optionValue) {
	n := &node{kind: kindNumber, text: value.text, line: value.line}
	number, err := parseDigits(value.text)
	switch _, truth := f.at(c).(*bool); {
	case err != nil:
		r.errorf(value.line, f.path, "must be a whole number, not %.32q", value.text)
		return
	case float64(number) < f.min || float64(number) > f.max:
		r.errorf(value.line, f.path, "%d is not between %.0f and %.0f", number, f.min, f.max)
		return
	case truth:
		n = &node{kind: kindBool, text: strconv.FormatBool(number == 1), line: value.line}
	}
	if err := f.set(c, n, true); err != nil {
		r.errorf(value.line, f.path, "%s", err)
		return
	}
	c.sources[f.path] = fmt.Sprintf("%s:%d", r.file, value.line)
}

// parseOptions finds the lines "name=value" of a file; of a name given twice
// the first counts. Everything else is passed over.
func parseOptions(data string) map[string]optionValue {
	found := map[string]optionValue{}
	number := 0
	for line := range strings.SplitSeq(data, "\n") {
		number++
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name[:1], "# \t;") {
			continue
		}
		if _, again := found[name]; !again {
			found[name] = optionValue{strings.TrimSpace(value), number}
		}
	}
	return found
}
