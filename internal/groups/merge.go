package groups

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// part is a piece of a member of merged.mg: a text, then a file.
type part struct {
	head string
	path string // below etc/shared
	size int64
}

// member is one file in merged.mg. That of a multigroup may have several parts.
type member struct {
	name   string
	parts  []part
	binary bool // left out
}

func (m *member) size() (n int64) {
	for _, p := range m.parts {
		n += int64(len(p.head)) + p.size
	}
	return n
}

// plan says what a merged.mg consists of (docs/agents.md §12.1).
type plan struct {
	title   string // name of the group, or hash of the multigroup
	members []member
}

// planOf lists the files of a group. ar is etc/shared/ar.conf, if there is one.
func planOf(group string, t *tree, ar *file) *plan {
	p := newPlan(group, ar)
	for _, f := range t.files {
		p.members = append(p.members, member{f.name, []part{{path: group + "/" + f.name, size: f.stamp.size}}, f.binary})
	}
	return p
}

func newPlan(title string, ar *file) *plan {
	p := &plan{title: title}
	if ar != nil {
		p.members = append(p.members, member{arConf, []part{{path: arConf, size: ar.stamp.size}}, ar.binary})
	}
	return p
}

// planOfMany lists the files of several groups, in the order of their priority:
// of files of one name the last group's counts, but all their agent.conf come
// one after the other, each behind a line that names its group.
func planOfMany(hash string, groups []string, trees map[string]*tree, ar *file) *plan {
	p := newPlan(hash, ar)
	first := len(p.members)
	at := map[string]int{}
	for _, group := range groups {
		t := trees[group]
		if t == nil {
			continue
		}
		for _, f := range t.files {
			one := member{f.name, []part{{path: group + "/" + f.name, size: f.stamp.size}}, f.binary}
			index, known := at[f.name]
			if f.name == agentConf {
				one.parts[0].head = "<!-- Source file: " + group + "/" + agentConf + " -->\n"
				if known {
					one.parts = append(p.members[index].parts, one.parts...)
					one.binary = one.binary || p.members[index].binary
				}
			}
			if known {
				p.members[index] = one
				continue
			}
			at[f.name] = len(p.members)
			p.members = append(p.members, one)
		}
	}
	slices.SortFunc(p.members[first:], func(a, b member) int { return comparePaths(a.name, b.name) })
	return p
}

// comparePaths orders as a walk does that takes names in byte order and enters
// a directory where its name stands.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		case a[i] < b[i]:
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// open gives the bytes of merged.mg, read from the groups' files as it goes.
// Reading fails when a file is not as long as the plan says.
func (p *plan) open(shared *os.Root) *stream {
	s := &stream{shared: shared}
	s.todo = append(s.todo, part{head: "#" + p.title + "\n"})
	for i := range p.members {
		m := &p.members[i]
		if m.binary {
			continue
		}
		header := fmt.Sprintf("!%d %s\n", m.size(), m.name)
		for j, one := range m.parts {
			if j == 0 {
				one.head = header + one.head
			}
			s.todo = append(s.todo, one)
		}
	}
	return s
}

// stream is the content of a merged.mg. Close it.
type stream struct {
	shared *os.Root
	todo   []part // the first is being read
	text   *strings.Reader
	file   *os.File
	left   int64 // of file
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.todo) > 0 {
		if s.text == nil {
			s.text = strings.NewReader(s.todo[0].head)
		}
		if s.text.Len() > 0 {
			return s.text.Read(p)
		}
		if s.todo[0].path != "" {
			n, err := s.content(p)
			if n > 0 || err != nil {
				return n, err
			}
		}
		s.text, s.todo = nil, s.todo[1:]
	}
	return 0, io.EOF
}

// content reads from the first part's file; 0 and nil at its end.
func (s *stream) content(p []byte) (int, error) {
	name := s.todo[0].path
	if s.file == nil {
		f, info, err := openFile(s.shared, name)
		if err != nil {
			return 0, err
		}
		s.file, s.left = f, s.todo[0].size
		if info.Size() != s.left {
			return 0, fmt.Errorf("read %s: %w", name, errChanged)
		}
	}
	if s.left == 0 {
		return 0, s.closeFile()
	}
	n, err := s.file.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && n == 0:
		return 0, fmt.Errorf("read %s: %w", name, errChanged)
	case errors.Is(err, io.EOF):
		err = nil
	}
	return n, err
}

func (s *stream) closeFile() (err error) {
	if s.file != nil {
		err, s.file = s.file.Close(), nil
	}
	return err
}

// Close gives back what is open.
func (s *stream) Close() error { return s.closeFile() }
