package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const debugOption = "wazuh_clusterd.debug"

// optionValue is an internal option as it stands in a file.
type optionValue struct {
	text string
	line int // 0: the file does not set it
}

// readDebug takes over wazuh_clusterd.debug (docs/configuration.md §3): the
// local file's value when it has one, else that of the shipped file.
//
// A file that is missing sets nothing. The original wants the shipped one to be
// there; a home without it would only make -d useless.
func (c *Config) readDebug(shipped, local *report) {
	for _, r := range []*report{local, shipped} {
		value, err := r.readOption(debugOption)
		if err == nil && value.line == 0 {
			continue
		}
		switch {
		case err != nil:
			c.DebugUnusable = true
			line := 0
			if at, ok := errors.AsType[*lineError](err); ok {
				line = at.line
			}
			r.warnf(line, debugOption, "%s; the log level is info", err)
		case value.text != "0" && value.text != "1" && value.text != "2":
			c.DebugUnusable = true
			r.warnf(value.line, debugOption, "%.32q is not 0, 1 or 2; the log level is info", value.text)
		default:
			c.Debug = int(value.text[0] - '0')
			c.sources[debugOption] = fmt.Sprintf("%s:%d", r.file, value.line)
		}
		return
	}
}

func (r *report) readOption(name string) (optionValue, error) {
	data, err := readSmall(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return optionValue{}, nil
	}
	if err != nil {
		return optionValue{}, err
	}
	return parseOption(string(data), name)
}

// parseOption finds an option in a file of lines "name=value" (or "name:
// value"). The rules are those of the reader of the original: lines that begin
// with '#' or ';' are comments, an indented line goes on with the value above
// it, names are read in lower case, and one line that is none of these, or an
// option given twice, spoils the whole file. Values of sections other than the
// nameless first one do not count.
func parseOption(data, name string) (optionValue, error) {
	var found optionValue
	seen := map[string]bool{}
	indent, current := 0, ""
	inFirst := true
	data = strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n")
	number := 0
	for line := range strings.SplitSeq(data, "\n") {
		number++
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		depth := len(line) - len(strings.TrimLeft(line, " \t\v\f"))
		if current != "" && depth > indent {
			if current == name && inFirst {
				found.text += "\n" + text
			}
			continue
		}
		indent = depth
		if text[0] == '[' && strings.Contains(text, "]") {
			inFirst, current = false, ""
			clear(seen)
			continue
		}
		cut := strings.IndexAny(text, "=:")
		if cut <= 0 {
			return optionValue{}, &lineError{number, "neither an option nor a comment"}
		}
		current = strings.ToLower(strings.TrimSpace(text[:cut]))
		if seen[current] {
			return optionValue{}, &lineError{number, fmt.Sprintf("option %.80q is given twice", current)}
		}
		seen[current] = true
		if current == name && inFirst {
			found = optionValue{strings.TrimSpace(text[cut+1:]), number}
		}
	}
	return found, nil
}
