package groups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"testudo/internal/agent"
)

// maxMultigroups bounds the combinations of groups; an installation with more
// agents than that gives each its own.
const maxMultigroups = 1_000_000

var (
	errPages   = errors.New("the pages do not advance")
	errTooWide = fmt.Errorf("more than %d combinations of groups", maxMultigroups)
)

// multigroup is one combination of groups that agents have.
type multigroup struct {
	hash  string
	names []string // in the order of their priority
}

// combinations asks the source for all combinations of more than one group.
// Texts that can be no combination are left out: nothing is written by their
// name.
func (b *Builder) combinations(ctx context.Context) (found []multigroup, err error) {
	for after, more := "", true; more; {
		var page []byte
		if page, more, err = b.cfg.Source.DistinctGroups(ctx, after); err != nil {
			return nil, fmt.Errorf("ask which combinations of groups there are: %w", err)
		}
		var rows []struct {
			Group string `json:"group"`
			Hash  string `json:"group_hash"`
		}
		if err := json.Unmarshal(page, &rows); err != nil {
			return nil, fmt.Errorf("read combinations of groups: %w", err)
		}
		if more && (len(rows) == 0 || rows[len(rows)-1].Hash <= after) {
			return nil, fmt.Errorf("read combinations of groups: %w", errPages)
		}
		for _, row := range rows {
			if len(found) >= maxMultigroups {
				return nil, errTooWide
			}
			if m, ok := parseCombination(row.Group); ok {
				found = append(found, m)
			}
		}
		if len(rows) > 0 {
			after = rows[len(rows)-1].Hash
		}
	}
	return found, nil
}

// parseCombination reads an agent's text of groups. ok is false for a single
// group and for what is no list of 128 valid names at most.
func parseCombination(text string) (m multigroup, ok bool) {
	names := strings.Split(text, ",")
	if len(names) < 2 || len(names) > agent.MaxGroups {
		return m, false
	}
	for _, name := range names {
		if agent.CheckGroupName(name) != nil {
			return m, false
		}
	}
	return multigroup{agent.GroupHash(text), names}, true
}

// multigroups makes the directory and the merged.mg of each combination, and
// removes what none needs.
func (s *scan) multigroups(ctx context.Context) error {
	if err := s.makeMultiDir(); err != nil {
		return err
	}
	wanted, err := s.combinations(ctx)
	if err != nil {
		s.database.Fail(s.log, slog.LevelWarn, "Multigroups left as they are.", slog.Any("error", err))
		return err
	}
	s.database.Recovered(s.log, "Multigroups are looked after again.")
	needed := make(map[string]bool, len(wanted))
	for _, m := range wanted {
		if err := ctx.Err(); err != nil {
			return err
		}
		needed[m.hash] = true
		if err := s.multigroup(m); err != nil {
			s.fail("multigroup "+m.hash, err)
		}
	}
	s.result.Multigroups = len(needed)
	return s.removeUnneeded(needed)
}

func (s *scan) makeMultiDir() error {
	if _, err := s.cfg.Home.Stat(multiDir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return makeDir(s.cfg.Home, multiDir, s.cfg.Owner)
}

// multigroup makes the file of one combination. While the directory of one of
// its groups is missing, or files are going from it, a file that is there stays
// as it is: the group's agents will soon have another combination.
func (s *scan) multigroup(m multigroup) error {
	dir := multiDir + "/" + m.hash
	name := dir + "/" + mergedName
	key, whole := s.arKey(), true
	for _, group := range m.names {
		t := s.trees[group]
		if t == nil || s.now.Before(t.until) {
			whole = false
			continue
		}
		key = s.seed.of(key, group, t.digest)
	}
	info, err := s.cfg.Home.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDir(s.cfg.Home, dir, s.cfg.Owner); err != nil {
			return err
		}
	case err != nil:
		return err
	case !info.IsDir():
		return &fs.PathError{Op: "merge into", Path: dir, Err: errors.New("it is no directory")}
	case !whole:
		if _, err := s.cfg.Home.Lstat(name); err == nil {
			return nil
		}
	}
	return s.make(name, key, func() *plan { return planOfMany(m.hash, m.names, s.trees, s.ar) })
}

// removeUnneeded removes the directories of multigroups that no agent has had
// for a while. Only names that a multigroup can have are touched.
func (s *scan) removeUnneeded(needed map[string]bool) error {
	root, err := s.cfg.Home.OpenRoot(multiDir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := readDir(root, ".")
	if err != nil {
		return err
	}
	unneeded := s.unneeded
	s.unneeded = map[string]time.Time{}
	for _, e := range entries {
		hash := e.Name()
		if needed[hash] || !e.IsDir() || !isHash(hash) {
			continue
		}
		since, known := unneeded[hash]
		if !known {
			since = s.now
		}
		if s.now.Sub(since) < keepUnneeded {
			s.unneeded[hash] = since
			continue
		}
		delete(s.outputs, multiDir+"/"+hash+"/"+mergedName)
		if err := root.RemoveAll(hash); err != nil {
			s.fail("multigroup "+hash, err)
			continue
		}
		s.result.Removed++
	}
	return nil
}

func isHash(name string) bool {
	return len(name) == 8 && strings.Trim(name, "0123456789abcdef") == ""
}
