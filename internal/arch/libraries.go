package arch

import (
	"fmt"
	"strings"
)

// forTests is the owner of libraries that only tests import.
const forTests = "tests"

// owners is what libraries.txt says: module path without version, to package.
type owners map[string]string

func parseOwners(text string) (owners, error) {
	o := make(owners)
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 2 || o[words[0]] != "" {
			return nil, fmt.Errorf("libraries.txt:%d: want one library, not named before, and its one owner", number)
		}
		o[words[0]] = words[1]
	}
	return o, nil
}

// owner finds the library that an import path belongs to.
func (o owners) owner(imported string) (owner string, ok bool) {
	for library := imported; library != ""; {
		if owner, ok := o[library]; ok {
			return owner, true
		}
		library = library[:max(strings.LastIndex(library, "/"), 0)]
	}
	return "", false
}

// checkLibraries finds third-party imports that nobody owns, or in a package
// that does not own them.
func (h *house) checkLibraries(o owners) (problems []string) {
	for _, one := range h.packages {
		name := strings.TrimPrefix(one.dir, "internal/")
		for _, file := range one.files {
			for _, imported := range file.imports {
				if !h.isThirdParty(imported) {
					continue
				}
				owner, known := o.owner(imported)
				switch {
				case !known:
					problems = append(problems, fmt.Sprintf("%s: imports %s, which is not in internal/arch/libraries.txt", file.name, imported))
				case !file.test && owner == forTests:
					problems = append(problems, fmt.Sprintf("%s: imports %s, which is for tests only", file.name, imported))
				case !file.test && owner != name:
					problems = append(problems, fmt.Sprintf("%s: imports %s, which only internal/%s may", file.name, imported, owner))
				}
			}
		}
	}
	return problems
}

func (h *house) isThirdParty(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".") && first != h.module && !strings.HasPrefix(imported, "golang.org/x/")
}
