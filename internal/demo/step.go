package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"testudo/internal/atomicfile"
	"testudo/internal/filetree"
	"testudo/internal/fleet"
	"testudo/internal/manifest"
	"testudo/internal/screen"
)

// ruleFile is the rule of the show.
const ruleFile = "etc/rules/demo_rules.xml"

// rule is its content at a level.
func rule(level int) []byte {
	return fmt.Appendf(nil, `<!-- A rule of the demonstration: change its level on the master. -->
<group name="demo,">
  <rule id="100900" level="%d">
    <match>tortoise</match>
    <description>A tortoise was seen.</description>
  </rule>
</group>
`, level)
}

// prepare puts the rule into the master's home before its first start.
func prepare(n *fleet.Node) error {
	if n.Role != "master" {
		return nil
	}
	return writeRule(n, 3)
}

func writeRule(n *fleet.Node, level int) error {
	root, err := os.OpenRoot(n.Home)
	if err != nil {
		return err
	}
	defer root.Close()
	return atomicfile.Write(root, ruleFile, rule(level), atomicfile.Options{Mode: 0o660, UID: -1, GID: -1})
}

// start brings up all processes.
func (s *show) start(ctx context.Context) error {
	nodes := s.fleet.Nodes()
	s.out.Linef("Starting a master and %d workers, each a process of its own, in %s ...", len(nodes)-1, s.fleet.Dir())
	began := time.Now()
	bar := s.out.Progress("Nodes ready", int64(len(nodes)), screen.Pieces)
	err := s.fleet.Start(ctx, func(n *fleet.Node) {
		bar.Add(1)
		s.out.Linef("  %s is ready (process %d, %.0f ms)", n.Name, n.PID(), milliseconds(time.Since(began)))
	})
	bar.Done()
	if err != nil {
		return err
	}
	s.result.Ready = milliseconds(time.Since(began))
	s.started.Store(true)
	s.showTable(ctx)
	return nil
}

// change gives the rule another level on the master.
func (s *show) change(ctx context.Context) error {
	s.out.Linef("Changing a rule on the master, %s:", filepath.Join(s.fleet.Master().Home, ruleFile))
	s.out.Linef(`  - <rule id="100900" level="3">`)
	s.out.Linef(`  + <rule id="100900" level="12">`)
	workers := s.fleet.Workers()
	return s.arrivals(ctx, workers, rule(12), func() error { return writeRule(s.fleet.Master(), 12) },
		func(n *fleet.Node, after time.Duration) {
			s.result.Changed[n.Name] = milliseconds(after)
			s.out.Linef("  arrived at %s after %.0f ms", n.Name, milliseconds(after))
		})
}

// heal spoils the rule on a worker.
func (s *show) heal(ctx context.Context) error {
	victim := s.fleet.Workers()[0]
	path := filepath.Join(victim.Home, ruleFile)
	s.out.Linef("Tampering with the same file on %s: emptying %s", victim.Name, path)
	spoil := func() error { return os.Truncate(path, 0) }
	return s.arrivals(ctx, []*fleet.Node{victim}, rule(12), spoil, func(n *fleet.Node, after time.Duration) {
		s.result.Healed = milliseconds(after)
		s.out.Linef("  healed on %s after %.0f ms", n.Name, milliseconds(after))
	})
}

// killAndReturn lets a worker miss a change.
func (s *show) killAndReturn(ctx context.Context) error {
	workers := s.fleet.Workers()
	victim := workers[len(workers)-1]
	s.out.Linef("Killing %s (kill -9 %d).", victim.Name, victim.PID())
	if err := victim.Kill(); err != nil {
		return err
	}
	s.pause(ctx)
	s.out.Linef("Meanwhile the rule changes on the master: level 12 becomes 7.")
	others := workers[:len(workers)-1]
	err := s.arrivals(ctx, others, rule(7), func() error { return writeRule(s.fleet.Master(), 7) },
		func(n *fleet.Node, after time.Duration) {
			s.out.Linef("  arrived at %s after %.0f ms", n.Name, milliseconds(after))
		})
	if err != nil {
		return err
	}
	s.showTable(ctx)
	s.pause(ctx)
	s.out.Linef("Starting %s again.", victim.Name)
	err = s.arrivals(ctx, []*fleet.Node{victim}, rule(7), victim.Start, func(n *fleet.Node, after time.Duration) {
		s.result.Returned = milliseconds(after)
		s.out.Linef("  %s is back and has what it missed after %.0f ms", n.Name, milliseconds(after))
	})
	if err != nil {
		return err
	}
	return victim.WaitReady(ctx)
}

// lookEvery is how often a file is looked at that is awaited.
const lookEvery = time.Millisecond

// arrivals does something and waits until the rule's file has the wanted
// content on all of the nodes, telling of each how long it took.
func (s *show) arrivals(ctx context.Context, nodes []*fleet.Node, want []byte, do func() error, arrived func(*fleet.Node, time.Duration)) error {
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	waiting := append([]*fleet.Node(nil), nodes...)
	turn := time.NewTicker(lookEvery)
	defer turn.Stop()
	for {
		still := waiting[:0]
		for _, n := range waiting {
			if content, err := os.ReadFile(filepath.Join(n.Home, ruleFile)); err != nil || string(content) != string(want) {
				still = append(still, n)
				continue
			}
			arrived(n, time.Since(began))
		}
		if waiting = still; len(waiting) == 0 {
			return nil
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: not there after %.0f s: %w", waiting[0].Name, time.Since(began).Seconds(), ctx.Err())
		}
	}
}

// compare reads the files of all nodes from their disks, and what their
// databases say of every agent: they must be equal, or become so.
func (s *show) compare(ctx context.Context) error {
	turn := time.NewTicker(redrawEvery)
	defer turn.Stop()
	for {
		err := s.compareFiles(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errDiffers) {
			return err
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return err
		}
	}
	s.showTable(ctx)
	s.out.Linef("All %d files are the same on all %d nodes.", s.result.Files, len(s.fleet.Nodes()))
	return s.compareAgents(ctx)
}

var errDiffers = errors.New("differs from the master")

func (s *show) compareFiles(ctx context.Context) error {
	master, err := read(ctx, s.fleet.Master())
	if err != nil {
		return err
	}
	s.result.Files = master.Len()
	for _, n := range s.fleet.Workers() {
		worker, err := read(ctx, n)
		if err != nil {
			return err
		}
		if d := manifest.Compare(master, worker); !d.Empty() {
			return fmt.Errorf("%s %w: %d files missing, %d other, %d too many",
				n.Name, errDiffers, len(d.Missing), len(d.Shared), len(d.Extra))
		}
	}
	return nil
}

func read(ctx context.Context, n *fleet.Node) (*manifest.Manifest, error) {
	tree, err := filetree.Open(n.Home, filetree.Options{Items: manifest.DefaultItems()})
	if err != nil {
		return nil, fmt.Errorf("read the files of %s: %w", n.Name, err)
	}
	defer tree.Close()
	scan, err := tree.Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the files of %s: %w", n.Name, err)
	}
	return scan.Manifest, nil
}
