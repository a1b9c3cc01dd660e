package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// Limits of what one can read at once.
const (
	maxFileLines     = 500
	maxFunctionLines = 80
)

// empty are names that do not say what is in a package.
var empty = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "types", "models"}

// checkDocs finds packages without a doc comment, and names that say nothing.
func (h *house) checkDocs() (problems []string) {
	for _, one := range h.packages {
		name := one.files[0].tree.Name.Name
		if slices.Contains(empty, strings.TrimSuffix(name, "_test")) || slices.Contains(empty, path.Base(one.dir)) {
			problems = append(problems, fmt.Sprintf("%s: a package called %s may hold anything", one.dir, name))
		}
		if !slices.ContainsFunc(one.files, isDocumented) {
			problems = append(problems, fmt.Sprintf("%s: no file has a comment that begins with \"Package\" or \"Command\" and the name", one.dir))
		}
	}
	return problems
}

func isDocumented(s *source) bool {
	text := s.tree.Doc.Text()
	name := strings.TrimSuffix(s.tree.Name.Name, "_test")
	if name == "main" {
		return strings.HasPrefix(text, "Command ")
	}
	return strings.HasPrefix(text, "Package "+name+" ")
}

// checkSizes finds files and functions that are too long.
func (h *house) checkSizes() (problems []string) {
	h.each(func(s *source) {
		if s.generated {
			return
		}
		if s.lines > maxFileLines {
			problems = append(problems, fmt.Sprintf("%s: %d lines, at most %d", s.name, s.lines, maxFileLines))
		}
		for _, d := range s.tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := h.set.Position(f.End()).Line - h.set.Position(f.Pos()).Line + 1
			if lines > maxFunctionLines {
				problems = append(problems, fmt.Sprintf("%s: %s has %d lines, at most %d", h.position(f), f.Name.Name, lines, maxFunctionLines))
			}
		}
	})
	return problems
}

// checkHabits finds functions that run when a package is merely imported, and
// tests that wait for a time instead of an event. In a package whose tests use
// synctest a sleep costs no time, and is taken to be in a bubble.
func (h *house) checkHabits() (problems []string) {
	for _, one := range h.packages {
		bubbles := slices.ContainsFunc(one.files, func(s *source) bool {
			return s.test && slices.Contains(s.imports, "testing/synctest")
		})
		for _, s := range one.files {
			problems = append(problems, h.findInit(s)...)
			if s.test && !bubbles {
				problems = append(problems, h.findSleep(s)...)
			}
		}
	}
	return problems
}

func (h *house) findInit(s *source) (problems []string) {
	for _, d := range s.tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			problems = append(problems, fmt.Sprintf("%s: init runs on import; compose at the root instead", h.position(f)))
		}
	}
	return problems
}

func (h *house) findSleep(s *source) (problems []string) {
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isSleep(call) {
			problems = append(problems, fmt.Sprintf("%s: a test sleeps; wait for the event, or use testing/synctest", h.position(call)))
		}
		return true
	})
	return problems
}

func isSleep(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Sleep" {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == "time"
}

func (h *house) each(f func(*source)) {
	for _, one := range h.packages {
		for _, s := range one.files {
			f(s)
		}
	}
}
