package rulesetapi

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"testudo/internal/config"
	"testudo/internal/fault"
	"testudo/internal/ossecxml"
)

// confFile is ossec.conf, read again when it has changed.
type confFile struct {
	mu    sync.Mutex
	stamp stamp
	roots []*ossecxml.Element
}

// ruleset gives the elements of all sections <ruleset>. Without any it is
// error 1106.
func (c *confFile) ruleset(d disk) (elements []*ossecxml.Element, err error) {
	roots, err := c.read(d)
	if err != nil {
		return nil, fault.Wrap(fault.UnknownComponent, config.ConfPath+": "+reason(err), err)
	}
	found := false
	for _, root := range roots {
		for _, section := range root.Children {
			if root.Name == "ossec_config" && section.Name == "ruleset" {
				elements, found = append(elements, section.Children...), true
			}
		}
	}
	if !found {
		return nil, fault.New(fault.SectionAbsent, "ruleset")
	}
	return elements, nil
}

func (c *confFile) read(d disk) ([]*ossecxml.Element, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := d.stampOf(config.ConfPath)
	if err != nil {
		return nil, err
	}
	if c.stamp.same(now) {
		return c.roots, nil
	}
	text, now, err := d.readFile(config.ConfPath, ossecxml.DefaultBytes)
	if err != nil {
		return nil, err
	}
	roots, err := ossecxml.Parse(bytes.NewReader(text), ossecxml.Limits{})
	if err != nil {
		return nil, err
	}
	c.stamp, c.roots = now, roots
	return roots, nil
}

// reason says what is wrong with a file without naming more of this machine
// than the user has named.
func reason(err error) string {
	var syntax *ossecxml.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return syntax.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "not there"
	case errors.Is(err, fs.ErrPermission):
		return "not permitted"
	case errors.Is(err, errTooLarge):
		return errTooLarge.Error()
	}
	return "cannot be read"
}

// places is where the files of a kind are.
type places struct {
	folders  []string // below the home, each once
	included []string // single files
	excluded []string // paths, or names in any folder
}

// placesOf reads the folders of a kind. What leads out of the home is passed
// over.
func (k *kind) placesOf(section []*ossecxml.Element) (p places) {
	add := func(list *[]string, text string) {
		name := path.Clean(strings.TrimSpace(text))
		if fs.ValidPath(name) && name != "." && !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	for _, e := range section {
		switch e.Name {
		case k.folder:
			add(&p.folders, e.Text)
		case k.include:
			add(&p.included, e.Text)
		case k.exclude:
			add(&p.excluded, e.Text)
		}
	}
	return p
}

// file is one file of the ruleset.
type file struct {
	dir, name string // "etc/rules", "local_rules.xml"
	disabled  bool   // ossec.conf excludes it
}

func (f file) path() string { return path.Join(f.dir, f.name) }

func (f file) status() string {
	if f.disabled {
		return statusDisabled
	}
	return statusEnabled
}

const (
	statusEnabled  = "enabled"
	statusDisabled = "disabled"
	statusAll      = "all"
)

// files lists the files of rules or decoders by name, and by folder where names
// are the same.
func (a *API) files(k *kind) ([]file, error) {
	section, err := a.conf.ruleset(a.disk)
	if err != nil {
		return nil, err
	}
	p := k.placesOf(section)
	seen := map[string]bool{}
	var list []file
	add := func(name string) {
		if seen[name] || len(list) >= a.cfg.Files {
			return
		}
		seen[name] = true
		f := file{dir: path.Dir(name), name: path.Base(name)}
		f.disabled = slices.Contains(p.excluded, f.name) || slices.Contains(p.excluded, name)
		list = append(list, f)
	}
	for _, dir := range p.folders {
		names, err := namesIn(a.cfg.Home, dir, a.cfg.Files)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".xml") && !strings.HasPrefix(name, ".") {
				add(path.Join(dir, name))
			}
		}
	}
	for _, name := range p.included {
		if _, err := a.disk.stampOf(name); err == nil {
			add(name)
		}
	}
	slices.SortFunc(list, func(a, b file) int { return cmp.Or(compareText(a.name, b.name), compareText(a.dir, b.dir)) })
	return list, nil
}

// compareText orders as lists are sorted: capital letters like small ones, and
// by them only where nothing else differs.
func compareText(a, b string) int {
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

// namesIn lists what is in a directory, at most so many names. A directory that
// is not there, or leads out of the home, is empty.
func namesIn(home *os.Root, dir string, most int) ([]string, error) {
	d, err := home.Open(dir)
	if err != nil {
		if leadsNowhere(err) {
			return nil, nil
		}
		return nil, fault.Wrap(fault.FileUnreadable, dir+": "+reason(err), err)
	}
	defer d.Close()
	names, err := d.Readdirnames(most)
	if err != nil && !errors.Is(err, io.EOF) {
		if leadsNowhere(err) {
			return nil, nil
		}
		return nil, fault.Wrap(fault.FileUnreadable, dir+": "+reason(err), err)
	}
	slices.Sort(names)
	return names, nil
}

// leadsNowhere tells whether the error is that of a name where there is no such
// thing below the home.
func leadsNowhere(err error) bool {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number == syscall.ENOENT || number == syscall.ENOTDIR || number == syscall.ELOOP
	}
	return true // os.Root's own: the name leads out
}
