package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// plan is what floors.txt says. Names are paths below internal/.
type plan struct {
	floor  map[string]int
	tests  map[string]bool
	within map[[2]string]string // importer, imported -> reason
}

func parsePlan(text string) (*plan, error) {
	p := &plan{floor: make(map[string]int), tests: make(map[string]bool), within: make(map[[2]string]string)}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.add(line); err != nil {
			return nil, fmt.Errorf("floors.txt:%d: %w", number, err)
		}
	}
	for name := range p.tests {
		if _, ok := p.floor[name]; !ok {
			return nil, fmt.Errorf("floors.txt: %s is for tests but on no floor", name)
		}
	}
	return p, nil
}

func (p *plan) add(line string) error {
	head, rest, ok := strings.Cut(line, ":")
	rest = strings.TrimSpace(rest)
	if !ok || rest == "" {
		return fmt.Errorf("%q is no rule", line)
	}
	if digits, ok := strings.CutPrefix(head, "floor "); ok {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return fmt.Errorf("%q is no floor", digits)
		}
		for _, name := range strings.Fields(rest) {
			if _, twice := p.floor[name]; twice {
				return fmt.Errorf("%s is on two floors", name)
			}
			p.floor[name] = n
		}
		return nil
	}
	if head == "tests" {
		for _, name := range strings.Fields(rest) {
			p.tests[name] = true
		}
		return nil
	}
	from, to, ok := strings.Cut(head, " -> ")
	a, okFrom := p.floor[from]
	b, okTo := p.floor[to]
	if !ok || !okFrom || !okTo || a != b {
		return fmt.Errorf("%q does not name two packages of one floor", head)
	}
	p.within[[2]string{from, to}] = rest
	return nil
}

// checkFloors finds packages without a floor and imports that go up, sideways,
// or from the program into what is for tests.
func (h *house) checkFloors(p *plan) (problems []string) {
	for _, one := range h.packages {
		name, inside := strings.CutPrefix(one.dir, "internal/")
		if inside {
			if _, ok := p.floor[name]; !ok {
				problems = append(problems, fmt.Sprintf("%s: not in internal/arch/floors.txt", one.dir))
				continue
			}
		}
		for _, file := range one.files {
			if file.test {
				continue
			}
			for _, imported := range file.imports {
				target, ok := strings.CutPrefix(imported, h.module+"/internal/")
				if !ok {
					continue
				}
				if problem := p.judge(name, inside, target); problem != "" {
					problems = append(problems, fmt.Sprintf("%s: imports internal/%s, %s", file.name, target, problem))
				}
			}
		}
	}
	return problems
}

// judge says what is wrong with an import, or nothing. inside is false for
// packages above all floors.
func (p *plan) judge(name string, inside bool, target string) string {
	to, listed := p.floor[target]
	from := p.floor[name]
	switch {
	case !listed:
		return "which is not in internal/arch/floors.txt"
	case p.tests[target] && (!inside || !p.tests[name]):
		return "which is for tests only"
	case !inside || to < from:
		return ""
	case to > from:
		return fmt.Sprintf("which is on floor %d, above its own floor %d", to, from)
	case p.within[[2]string{name, target}] == "":
		return fmt.Sprintf("of its own floor %d, without a reason in internal/arch/floors.txt", from)
	}
	return ""
}

// checkUnused finds packages on a floor that import each other no more, so
// that the list of exceptions does not outlive its reasons.
func (h *house) checkUnused(p *plan) (problems []string) {
	used := make(map[[2]string]bool)
	exists := make(map[string]bool)
	for _, one := range h.packages {
		name := strings.TrimPrefix(one.dir, "internal/")
		exists[name] = true
		for _, file := range one.files {
			for _, imported := range file.imports {
				used[[2]string{name, strings.TrimPrefix(imported, h.module+"/internal/")}] = true
			}
		}
	}
	for pair := range p.within {
		if exists[pair[0]] && exists[pair[1]] && !used[pair] {
			problems = append(problems, fmt.Sprintf("internal/arch/floors.txt: %s -> %s is listed but not used", pair[0], pair[1]))
		}
	}
	slices.Sort(problems)
	return problems
}
