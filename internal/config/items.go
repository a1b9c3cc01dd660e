package config

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/manifest"
)

// ownDirectories are kept by the node itself: to synchronise one of them would
// have nodes overwrite each other's working state.
var ownDirectories = []string{"queue/cluster", "queue/db", "queue/sockets", "var/run", "logs", "bin"}

// itemsDecoder takes over "files" of a cluster.json.
type itemsDecoder struct {
	*decoder
	items *manifest.Items
	// overlay says that the file adds to the items so far and may remove one
	// with null; otherwise its list of directories takes their place.
	overlay bool
}

func (d *itemsDecoder) files(n *node) {
	if n.kind != kindObject {
		d.errorf(n.line, "files", "must be an object, not %s", n.describe())
		return
	}
	before := slices.Clone(d.items.List)
	if !d.overlay {
		d.items.List = nil
	}
	for _, m := range n.members {
		at := "files." + printable(m.key)
		switch m.key {
		case "excluded_files":
			d.names(m.value, at, &d.items.ExcludedFiles)
		case "excluded_extensions":
			d.names(m.value, at, &d.items.ExcludedExtensions)
		default:
			d.directory(m, at, before)
		}
	}
	for _, item := range before {
		if _, kept := d.items.Lookup(item.Key); !kept && !d.overlay {
			d.warnf(n.line, "files", "%s is not listed and will not be synchronised", item.Key)
		}
	}
}

// directory takes over one item. Of a built-in one the missing keys keep their
// values; a custom one must say what matters.
func (d *itemsDecoder) directory(m member, at string, before []manifest.Item) {
	if m.value.kind == kindNull && d.overlay {
		d.items.List = slices.DeleteFunc(d.items.List, func(i manifest.Item) bool { return i.Key == m.key })
		return
	}
	if reason := badDirectory(m.key); reason != "" {
		d.errorf(m.line, at, "%s", reason)
		return
	}
	if m.value.kind != kindObject {
		d.errorf(m.line, at, "must be an object, not %s", m.value.describe())
		return
	}
	item := manifest.Item{Key: m.key, Source: string(Master)}
	known := slices.IndexFunc(before, func(i manifest.Item) bool { return i.Key == m.key })
	if known >= 0 {
		item = before[known]
	}
	given := map[string]bool{}
	for _, property := range m.value.members {
		given[property.key] = true
		d.property(&item, property, at+"."+printable(property.key))
	}
	for _, needed := range []string{"permissions", "files", "recursive"} {
		if known < 0 && !given[needed] {
			d.errorf(m.line, at, "%s is missing", needed)
		}
	}
	d.config.sources[at] = fmt.Sprintf("%s:%d", d.file, m.line)
	if i := slices.IndexFunc(d.items.List, func(i manifest.Item) bool { return i.Key == m.key }); i >= 0 {
		d.items.List[i] = item
		return
	}
	d.items.List = append(d.items.List, item)
}

func (d *itemsDecoder) property(item *manifest.Item, m member, at string) {
	flag := func(to *bool) {
		if m.value.kind != kindBool {
			d.errorf(m.line, at, "must be true or false, not %s", m.value.describe())
			return
		}
		*to = m.value.text == "true"
	}
	switch m.key {
	case "permissions":
		mode, err := permissions(m.value)
		if err != nil {
			d.errorf(m.line, at, "%s", err)
			return
		}
		item.Mode = mode
	case "source":
		if m.value.kind != kindText || m.value.text != string(Master) {
			d.errorf(m.line, at, "only \"master\" is supported, not %s", m.value.describe())
		}
	case "files":
		if !d.names(m.value, at, &item.Files) {
			return
		}
		if len(item.Files) == 0 || len(item.Files) > 1 && slices.Contains(item.Files, manifest.AllFiles) {
			d.errorf(m.line, at, "must name files, or be [\"all\"]")
		}
	case "recursive":
		flag(&item.Recursive)
	case "restart":
		flag(&item.Restart)
	case "remove_subdirs_if_empty":
		flag(&item.RemoveEmpty)
	case "extra_valid":
		if flag(&item.ExtraValid); item.ExtraValid {
			d.errorf(m.line, at, "is not supported: no node sends files to its master")
		}
	case "description":
		if m.value.kind != kindText {
			d.errorf(m.line, at, "must be a text, not %s", m.value.describe())
			return
		}
		item.Description = m.value.text
	default:
		d.errorf(m.line, at, "unknown key")
	}
}

// names takes over a list of file names or of their endings.
func (d *itemsDecoder) names(n *node, at string, to *[]string) bool {
	if n.kind != kindList {
		d.errorf(n.line, at, "must be a list, not %s", n.describe())
		return false
	}
	names := []string{}
	for _, e := range n.list {
		if e.kind != kindText || e.text == "" || strings.Contains(e.text, "/") || manifest.CheckPath("x"+e.text) != nil {
			d.errorf(e.line, at, "%s is no file name", e.describe())
			return false
		}
		names = append(names, e.text)
	}
	*to = names
	d.config.sources[at] = fmt.Sprintf("%s:%d", d.file, n.line)
	return true
}

// permissions reads a mode as C writes numbers: "0o640" or "0640".
func permissions(n *node) (fs.FileMode, error) {
	if n.kind != kindText {
		return 0, fmt.Errorf("must be a text such as \"0o640\", not %s", n.describe())
	}
	bits, err := strconv.ParseUint(n.text, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is no mode such as \"0o640\"", n.describe())
	}
	if bits > 0o777 || bits&0o400 == 0 {
		return 0, fmt.Errorf("%s is no mode of a file that its owner can read (0o400 to 0o777)", n.describe())
	}
	return fs.FileMode(bits), nil
}

// badDirectory says what is wrong with the key of an item, "" when nothing is.
func badDirectory(key string) string {
	dir, ends := strings.CutSuffix(key, "/")
	switch {
	case !ends:
		return "a directory must end in '/'"
	case manifest.CheckPath(dir) != nil || path.Clean(dir) != dir:
		return "must be a clean path below the home"
	}
	for _, own := range ownDirectories {
		if dir == own || strings.HasPrefix(dir, own+"/") {
			return own + " is kept by each node itself and cannot be synchronised"
		}
	}
	return ""
}

// together refuses items that take in what is not theirs.
func (d *itemsDecoder) together() {
	line := func(key string) int {
		_, line := d.config.place(0, "files."+key)
		return line
	}
	if item, err := d.items.Match(ConfPath); err == nil {
		d.errorf(line(item.Key), "files."+item.Key, "would synchronise %s, which is different on each node", ConfPath)
	}
	for _, outer := range d.items.List {
		if !outer.Recursive {
			continue
		}
		for _, own := range ownDirectories {
			if strings.HasPrefix(own+"/", outer.Key) {
				d.errorf(line(outer.Key), "files."+outer.Key, "would take in %s, which is kept by each node itself", own)
			}
		}
		for _, inner := range d.items.List {
			if inner.Key != outer.Key && strings.HasPrefix(inner.Key, outer.Key) {
				d.errorf(line(inner.Key), "files."+inner.Key, "lies inside %s, which is recursive already", outer.Key)
			}
		}
	}
}
