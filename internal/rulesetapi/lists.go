package rulesetapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"testudo/internal/atomicfile"
	"testudo/internal/fault"
)

// entry is one line of a list: a key, and a value that may be empty.
type entry struct{ key, value string }

// parseList reads the lines of a list as the analysis of events does: what is
// no entry is passed over.
func parseList(text []byte) []entry {
	var entries []entry
	for line := range bytes.Lines(text) {
		if e, _, err := parseEntry(trimLine(line)); err == nil {
			entries = append(entries, e)
		}
	}
	return entries
}

// checkList says which line of a list is no entry. A colon that could be meant
// otherwise, in a key or value without quotes, is one too.
func checkList(text []byte) error {
	number, entries := 0, 0
	for line := range bytes.Lines(text) {
		number++
		s := trimLine(line)
		if strings.TrimSpace(s) == "" {
			continue
		}
		e, quoted, err := parseEntry(s)
		if err == nil && !quoted && strings.Contains(e.value, ":") {
			err = errors.New("a second colon stands outside of quotes")
		}
		if err != nil {
			return fmt.Errorf("%w: line %d", err, number)
		}
		entries++
	}
	if entries == 0 {
		return errNoEntry
	}
	return nil
}

var errNoEntry = errors.New("no entry")

func trimLine(line []byte) string { return strings.TrimRight(string(line), "\r\n") }

// parseEntry reads KEY:VALUE. Either may stand in double quotes, and then hold
// a colon; quoted says that of the value.
func parseEntry(line string) (e entry, quoted bool, err error) {
	var rest string
	if inner, ok := strings.CutPrefix(line, `"`); ok {
		if e.key, rest, ok = strings.Cut(inner, `"`); !ok {
			return e, false, errors.New("a quote is never closed")
		}
		if rest, ok = strings.CutPrefix(rest, ":"); !ok {
			return e, false, errors.New("no colon after the key")
		}
	} else if e.key, rest, ok = strings.Cut(line, ":"); !ok {
		return e, false, errors.New("no colon")
	}
	if strings.TrimSpace(e.key) == "" {
		return e, false, errors.New("no key")
	}
	e.value = rest
	if inner, ok := strings.CutPrefix(rest, `"`); ok {
		if e.value, ok = strings.CutSuffix(inner, `"`); !ok {
			return e, false, errors.New("a quote is never closed")
		}
		return e, true, nil
	}
	return e, false, nil
}

// list is a list as users see it. It is shared and does not change.
type list struct {
	file file
	json json.RawMessage
}

// readList makes the one item of a file.
func readList(f file, text []byte) ([]list, error) {
	dst := []byte(`{"items": [`)
	for i, e := range parseList(text) {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendText(append(dst, `{"key": `...), e.key)
		dst = append(appendText(append(dst, `, "value": `...), e.value), '}')
	}
	dst = appendPath(append(dst, "], "...), f)
	return []list{{f, slices.Clip(append(dst, '}'))}}, nil
}

// appendPath writes the members that say where a list stands.
func appendPath(dst []byte, f file) []byte {
	dst = appendText(append(dst, `"relative_dirname": `...), f.dir)
	return appendText(append(dst, `, "filename": `...), f.name)
}

// objectOf writes a list as one object. Of a key that comes more than once the
// last value counts, at the place of the first.
func objectOf(entries []entry) []byte {
	last := make(map[string]string, len(entries))
	for _, e := range entries {
		last[e.key] = e.value
	}
	dst := []byte{'{'}
	for _, e := range entries {
		value, ok := last[e.key]
		if !ok {
			continue
		}
		delete(last, e.key)
		if len(dst) > 1 {
			dst = append(dst, ", "...)
		}
		dst = append(appendText(dst, e.key), ": "...)
		dst = appendText(dst, value)
	}
	return append(dst, '}')
}

// compiledEnding is that of the databases that are made of lists.
const compiledEnding = ".cdb"

// notLists are endings of files that are no lists: compiled ones, and what
// editors and transfers leave.
var notLists = []string{compiledEnding, "~", ".swp", ".tmp", ".lock"}

func isListName(name string) bool {
	return !strings.HasPrefix(name, ".") && !atomicfile.IsTemporary(name) &&
		!slices.ContainsFunc(notLists, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// listDepth bounds how deep below etc/lists is looked.
const listDepth = 8

// listFiles lists the files of lists by folder and name.
func (a *API) listFiles() ([]file, error) {
	var list []file
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		names, err := namesIn(a.cfg.Home, dir, a.cfg.Files)
		if err != nil {
			return err
		}
		var folders []string
		for _, name := range names {
			if !isListName(name) || len(list) >= a.cfg.Files {
				continue
			}
			info, err := a.cfg.Home.Stat(path.Join(dir, name))
			switch {
			case err != nil:
			case info.IsDir():
				folders = append(folders, path.Join(dir, name))
			case info.Mode().IsRegular():
				list = append(list, file{dir: dir, name: name})
			}
		}
		for _, folder := range folders {
			if depth == 0 {
				break
			}
			if err := walk(folder, depth-1); err != nil {
				return err
			}
		}
		return nil
	}
	err := walk(listKind.own, listDepth)
	slices.SortFunc(list, func(a, b file) int { return cmp.Or(compareText(a.dir, b.dir), compareText(a.name, b.name)) })
	return list, err
}

// listNamed finds the list of a name, the nearest to etc/lists if there are
// several.
func (a *API) listNamed(name string) (file, *fault.Error) {
	all, err := a.listFiles()
	if err != nil {
		return file{}, fault.From(err)
	}
	for _, f := range all {
		if f.name == name {
			return f, nil
		}
	}
	if fs.ValidPath(name) && path.Base(name) == name {
		if info, err := a.cfg.Home.Stat(path.Join(listKind.own, name)); err == nil && info.IsDir() {
			return file{}, fault.New(fault.ListIsFolder, nil)
		}
	}
	return file{}, fault.New(fault.ListAbsent, nil)
}
