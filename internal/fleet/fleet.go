// Package fleet runs a whole cluster on one machine: it makes homes on free
// loopback ports, starts each node as a process of this very program, knows
// when it is ready and what it costs, kills and restarts it, and leaves nothing
// behind. The demonstration and the measurements are built on it.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/home"
)

// grace is how long a process may take to end after it was asked to.
const grace = 10 * time.Second

// Options says what fleet to make.
type Options struct {
	// Workers is the number of workers beside the one master.
	Workers int
	// Dir is an existing directory for the homes; empty for a new temporary one.
	Dir string
	// Keep leaves the homes in place at the end.
	Keep bool
	// ClusterJSON is the content of etc/cluster.json in each home; empty for none.
	ClusterJSON string
	// Prepare may change a home before its node is started for the first time.
	Prepare func(n *Node) error
	// Flags are further flags of the verb node, for all of them.
	Flags []string
	// Program is the executable; empty for this very program.
	Program string
}

// Fleet is a cluster of processes. New makes it, Close ends it.
type Fleet struct {
	options   Options
	dir       string
	temporary bool
	program   string
	nodes     []*Node
	life      context.Context // of all processes
	end       context.CancelFunc
}

// New makes the homes. The processes that are started later end at the latest
// when ctx does; Close must be called in any case.
func New(ctx context.Context, o Options) (f *Fleet, err error) {
	f = &Fleet{options: o, dir: o.Dir, program: o.Program}
	f.life, f.end = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if f.program == "" {
		if f.program, err = os.Executable(); err != nil {
			return f, fmt.Errorf("find this program: %w", err)
		}
	}
	if f.dir == "" {
		if f.dir, err = os.MkdirTemp(shortTemporary(), "testudo-"); err != nil {
			return f, fmt.Errorf("make a directory for the homes: %w", err)
		}
		f.temporary = true
	}
	return f, f.makeHomes(ctx)
}

// socketRoom is how long the path of a temporary directory may be, so that the
// sockets in the homes below still have an address.
const socketRoom = 40

// shortTemporary is where temporary directories are made, or /tmp where that has
// too long a path.
func shortTemporary() string {
	if dir := os.TempDir(); len(dir) <= socketRoom {
		return dir
	}
	return "/tmp"
}

func (f *Fleet) makeHomes(ctx context.Context) error {
	count := f.options.Workers + 1
	ports, err := freePorts(ctx, 1+2*count)
	if err != nil {
		return err
	}
	key := ""
	for i := range count {
		n := &Node{
			Name: "master", Role: "master", Port: ports[0],
			Metrics: fmt.Sprintf("127.0.0.1:%d", ports[1+2*i]), EnrolPort: ports[2+2*i], fleet: f,
		}
		if i > 0 {
			n.Name, n.Role = fmt.Sprintf("worker%d", i), "worker"
		}
		n.Home = filepath.Join(f.dir, n.Name)
		spec := home.Spec{
			Role: n.Role, Name: n.Name, Cluster: "fleet", Key: key, Port: n.Port, Bind: "127.0.0.1", Metrics: n.Metrics,
			EnrolPort: n.EnrolPort, EnrolBind: "127.0.0.1",
		}
		if i > 0 {
			spec.Master = "127.0.0.1"
		}
		report, err := home.Init(n.Home, spec, false)
		if len(report.Created) > 0 {
			f.nodes = append(f.nodes, n) // so that Close removes what is ours
		}
		if err != nil {
			return fmt.Errorf("make the home of %s: %w", n.Name, err)
		}
		if i == 0 {
			key = report.Key
		}
		if err := f.prepare(n); err != nil {
			return fmt.Errorf("prepare the home of %s: %w", n.Name, err)
		}
	}
	return nil
}

func (f *Fleet) prepare(n *Node) error {
	if f.options.ClusterJSON != "" {
		path := filepath.Join(n.Home, "etc", "cluster.json")
		if err := os.WriteFile(path, []byte(f.options.ClusterJSON), 0o640); err != nil {
			return err
		}
	}
	if f.options.Prepare != nil {
		return f.options.Prepare(n)
	}
	return nil
}

// Dir is the directory that holds the homes.
func (f *Fleet) Dir() string { return f.dir }

// Nodes is the master and then the workers, in the order of their numbers.
func (f *Fleet) Nodes() []*Node { return f.nodes }

// Master is the master.
func (f *Fleet) Master() *Node { return f.nodes[0] }

// Workers is all nodes but the master.
func (f *Fleet) Workers() []*Node { return f.nodes[1:] }

// Start starts all nodes and waits until each is ready: a worker is when it has
// been in step with the master once. ready, when set, is told of each node that
// is, one at a time.
func (f *Fleet) Start(ctx context.Context, ready func(n *Node)) error {
	for _, n := range f.nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	arrived := make(chan *Node)
	g, waiting := errgroup.WithContext(ctx)
	for _, n := range f.nodes {
		g.Go(func() error {
			if err := n.WaitReady(waiting); err != nil {
				return err
			}
			select {
			case arrived <- n:
			case <-waiting.Done():
			}
			return nil
		})
	}
	g.Go(func() error {
		for range f.nodes {
			select {
			case n := <-arrived:
				if ready != nil {
					ready(n)
				}
			case <-waiting.Done():
				return nil
			}
		}
		return nil
	})
	return g.Wait()
}

// Close stops all processes, waits for them and removes the homes unless they
// are to be kept.
func (f *Fleet) Close() error {
	f.end()
	var errs []error
	for _, n := range f.nodes {
		if p := n.current(); p != nil {
			<-p.ended
		}
	}
	if f.options.Keep {
		return nil
	}
	if f.temporary {
		errs = append(errs, os.RemoveAll(f.dir))
	} else {
		for _, n := range f.nodes {
			errs = append(errs, os.RemoveAll(n.Home), removeFile(n.outputPath()))
		}
	}
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
