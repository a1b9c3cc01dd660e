// Package arch is the rules of this house as a test: which package may import
// which (floors.txt), who owns a third-party library (libraries.txt), a doc
// comment for every package, sizes of files and functions, names that say
// nothing, and habits that make tests slow or packages hard to reason about.
package arch

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// source is one parsed Go file.
type source struct {
	name      string // path from the root of the module, with slashes
	test      bool
	generated bool
	lines     int
	tree      *ast.File
	imports   []string
}

// pkg is one folder of Go files.
type pkg struct {
	dir   string // path from the root of the module, with slashes
	files []*source
}

// house is a whole module.
type house struct {
	module   string
	set      *token.FileSet
	packages []*pkg
}

// load parses all Go files below root, whose module has that path. Folders
// that the Go tool leaves out are left out.
func load(root fs.FS, module string) (*house, error) {
	h := &house{module: module, set: token.NewFileSet()}
	byDir := make(map[string]*pkg)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (base == "testdata" || base == "vendor" || base == "tools" || strings.IndexAny(base, "._") == 0):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go") || strings.IndexAny(base, "._") == 0:
			return nil
		}
		s, err := h.parse(root, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
			h.packages = append(h.packages, byDir[dir])
		}
		byDir[dir].files = append(byDir[dir].files, s)
		return nil
	})
	return h, err
}

func (h *house) parse(root fs.FS, name string) (*source, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	tree, err := parser.ParseFile(h.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	s := &source{
		name:      name,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(tree),
		lines:     strings.Count(string(text), "\n"),
		tree:      tree,
	}
	for _, spec := range tree.Imports {
		s.imports = append(s.imports, strings.Trim(spec.Path.Value, "\"`"))
	}
	return s, nil
}

// modulePath reads the path of the module from its go.mod.
func modulePath(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("go.mod names no module")
}

// position is FILE:LINE of a node.
func (h *house) position(n ast.Node) string {
	p := h.set.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}
