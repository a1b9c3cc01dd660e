package clustertest

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

// WaitEqual waits until the synchronised files of all nodes are the master's,
// and fails the test when they are not within limit.
func (c *Cluster) WaitEqual(limit time.Duration) {
	c.T.Helper()
	// Trees are read less often: a bubble's time is cheap, hashing is not.
	c.poll(limit, 500*time.Millisecond, func() string {
		want := c.manifest(MasterName)
		for name := range c.nodes {
			if d := manifest.Compare(want, c.manifest(name)); !d.Empty() {
				return fmt.Sprintf("%s differs: %s", name, describe(d))
			}
		}
		return ""
	})
}

// Wait polls until a condition holds; it returns what is still wrong.
func (c *Cluster) Wait(limit time.Duration, wrong func() string) {
	c.T.Helper()
	c.poll(limit, 100*time.Millisecond, wrong)
}

func (c *Cluster) poll(limit, every time.Duration, wrong func() string) {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		why := wrong()
		if why == "" {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.dump()
			c.T.Fatalf("after %v: %s", limit, why)
		}
	}
}

func (c *Cluster) manifest(name string) *manifest.Manifest {
	c.T.Helper()
	tree, err := filetree.Open(c.nodes[name].Home, filetree.Options{Items: c.Config.Items, Workers: 1, UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.T.Fatal(err)
	}
	defer tree.Close()
	scan, err := tree.Scan(c.T.Context())
	if err != nil {
		c.T.Fatal(err)
	}
	return scan.Manifest
}

func describe(d manifest.Difference) string {
	var parts []string
	for class, entries := range map[string][]manifest.Entry{"missing": d.Missing, "extra": d.Extra, "shared": d.Shared} {
		for _, e := range entries[:min(len(entries), 5)] {
			parts = append(parts, class+" "+e.Path)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// Verify stops the cluster and checks what must hold at the end of every test:
// all homes equal, no temporary file left, no error line but the expected. That
// connections end while the nodes stop is expected.
func (c *Cluster) Verify(expected ...string) {
	c.T.Helper()
	for _, n := range c.nodes {
		for _, line := range n.Log.Errors(expected...) {
			c.T.Errorf("%s logged: %s", n.Name, line)
		}
	}
	c.Stop()
	c.verifyStopped(append(slices.Clone(expected), `(?i)connection`, `connect to master`))
}

func (c *Cluster) verifyStopped(expected []string) {
	c.T.Helper()
	want := c.manifest(MasterName)
	for name, n := range c.nodes {
		if d := manifest.Compare(want, c.manifest(name)); !d.Empty() {
			c.T.Errorf("%s differs from the master: %s", name, describe(d))
		}
		c.noLeftovers(n)
		for _, line := range n.Log.Errors(expected...) {
			c.T.Errorf("%s logged: %s", name, line)
		}
	}
}

func (c *Cluster) noLeftovers(n *Node) {
	c.T.Helper()
	err := filepath.WalkDir(n.Home, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(n.Home, path)
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(rel, ".tmp") || strings.HasPrefix(rel, "queue/cluster/") {
			c.T.Errorf("%s: left behind: %s", n.Name, rel)
		}
		return nil
	})
	if err != nil {
		c.T.Error(err)
	}
}

func (c *Cluster) dump() {
	for name, n := range c.nodes {
		for _, line := range n.Log.All() {
			c.T.Logf("%s: %s", name, line)
		}
	}
}

// Lines collects a node's log.
type Lines struct {
	mu    sync.Mutex
	lines []line
	attrs []slog.Attr
	root  *Lines
}

type line struct {
	level slog.Level
	text  string
}

// Enabled implements slog.Handler.
func (l *Lines) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l *Lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s ", r.Time.Format("15:04:05.000"), r.Level)
	for _, a := range l.attrs {
		fmt.Fprintf(&b, "[%v] ", a.Value)
	}
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %v", a)
		return true
	})
	to := l
	if l.root != nil {
		to = l.root
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.lines = append(to.lines, line{r.Level, b.String()})
	return nil
}

// WithAttrs implements slog.Handler.
func (l *Lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	root := l
	if l.root != nil {
		root = l.root
	}
	return &Lines{attrs: append(slices.Clone(l.attrs), attrs...), root: root}
}

// WithGroup implements slog.Handler.
func (l *Lines) WithGroup(string) slog.Handler { return l }

// All returns the lines so far.
func (l *Lines) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]string, 0, len(l.lines))
	for _, line := range l.lines {
		all = append(all, line.text)
	}
	return all
}

// Errors returns the error lines that match none of the patterns.
func (l *Lines) Errors(expected ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var bad []string
	for _, line := range l.lines {
		if line.level >= slog.LevelError && !slices.ContainsFunc(expected, func(p string) bool {
			return regexp.MustCompile(p).MatchString(line.text)
		}) {
			bad = append(bad, line.text)
		}
	}
	return bad
}

// Has says whether a line matches a pattern.
func (l *Lines) Has(pattern string) bool { return l.Count(pattern) > 0 }

// Count is how many lines match a pattern.
func (l *Lines) Count(pattern string) int {
	re := regexp.MustCompile(pattern)
	count := 0
	for _, text := range l.All() {
		if re.MatchString(text) {
			count++
		}
	}
	return count
}

// States keeps what the exchanges say of files, in memory.
type States struct {
	mu       sync.Mutex
	files    map[string]map[string]filestate.Row
	nodes    map[string]filestate.NodeState
	held     *filestate.Held
	accepted bool
}

// Set implements integrity.States.
func (s *States) Set(node string, rows iter.Seq[filestate.Row]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = make(map[string]map[string]filestate.Row)
	}
	picture := make(map[string]filestate.Row)
	for r := range rows {
		picture[r.File] = r
	}
	s.files[node] = picture
}

// SetNode implements integrity.States.
func (s *States) SetNode(n filestate.NodeState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes == nil {
		s.nodes = make(map[string]filestate.NodeState)
	}
	s.nodes[n.Node] = n
}

// SetHeld takes down what is held back, nil when nothing is.
func (s *States) SetHeld(_ context.Context, held *filestate.Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	return nil
}

// Epoch implements integrity.States.
func (s *States) Epoch() uint64 { return 0 }

// Held is the change held back, nil when none is.
func (s *States) Held() *filestate.Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// File returns what is known of a file at a node.
func (s *States) File(node, file string) filestate.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[node][file]
}

// NodeState returns what is known of a node.
func (s *States) NodeState(node string) filestate.NodeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[node]
}

// AcceptShrink is the operator's word.
func (s *States) AcceptShrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = true
}

func (s *States) takeDecision(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.accepted
	s.accepted = false
	return was, nil
}
