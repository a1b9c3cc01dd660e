package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/screen"
)

// redrawEvery is how often the live table is looked after.
const redrawEvery = 250 * time.Millisecond

// stateFile is where the master keeps what it knows of all nodes.
const stateFile = "queue/db/cluster.db"

// liveTable keeps the table at the bottom of the terminal up to date.
type liveTable struct {
	end  context.CancelFunc
	done sync.WaitGroup
}

// drawTable draws the table from now on, when there is a terminal, but for the
// time of the start, when a progress bar has its place.
func (s *show) drawTable(ctx context.Context) *liveTable {
	ctx, end := context.WithCancel(ctx)
	t := &liveTable{end: end}
	if !s.out.Terminal() {
		return t
	}
	t.done.Go(func() {
		turn := time.NewTicker(redrawEvery)
		defer turn.Stop()
		for {
			select {
			case <-turn.C:
			case <-ctx.Done():
				return
			}
			if s.started.Load() {
				s.out.Live("\n" + layOut(s.states(ctx), s.out.Width()) + s.agentTable(ctx, s.out.Width()))
			}
		}
	})
	return t
}

// stop takes the table away.
func (t *liveTable) stop(out *screen.Screen) {
	t.end()
	t.done.Wait()
	out.Live("")
}

// settleTime is how long a table that is shown once waits for what the master
// writes down a moment later.
const settleTime = 2 * time.Second

// showTable writes the table once where nobody sees the live one.
func (s *show) showTable(ctx context.Context) {
	if s.out.Terminal() {
		return
	}
	limited, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	turn := time.NewTicker(redrawEvery / 5)
	defer turn.Stop()
	states := s.states(limited)
	for !settled(states) && limited.Err() == nil {
		select {
		case <-turn.C:
		case <-limited.Done():
		}
		states = s.states(ctx)
	}
	s.out.Linef("\n%s", layOut(states, 0))
}

// state is one node as the table shows it: its process as we see it, the rest
// as the master has it.
type state struct {
	name, role string
	pid        int // 0 when no process runs
	known      bool
	filestate.NodeState
	inStep bool
}

func (s *show) states(ctx context.Context) []state {
	known := map[string]filestate.NodeState{}
	nodes, err := readStates(ctx, filepath.Join(s.fleet.Master().Home, stateFile))
	if err != nil {
		nodes = nil // a master that starts; the table shows that nothing is known
	}
	for _, n := range nodes {
		known[n.Node] = n
	}
	list := make([]state, 0, len(s.fleet.Nodes()))
	for _, n := range s.fleet.Nodes() {
		st := state{name: n.Name, role: n.Role, pid: n.PID()}
		st.NodeState, st.known = known[n.Name]
		st.Connected = st.Connected && st.pid != 0
		st.inStep = st.Connected && !st.InStepSince.IsZero() && st.ManifestSum == known[s.fleet.Master().Name].ManifestSum
		list = append(list, st)
	}
	return list
}

// settled says whether the master has noticed what we did to the processes.
func settled(states []state) bool {
	for _, s := range states {
		if s.pid != 0 && !s.inStep {
			return false
		}
	}
	return true
}

// readStates asks the master's database, which is not there at first.
func readStates(ctx context.Context, path string) ([]filestate.NodeState, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return filestate.Nodes(ctx, path)
}

const nothing = "-"

func layOut(states []state, width int) string {
	rows := make([][]string, 0, len(states))
	for _, s := range states {
		rows = append(rows, s.row())
	}
	return screen.Table([]screen.Column{
		{Title: "node"}, {Title: "role"}, {Title: "process", Right: true}, {Title: "connected since"},
		{Title: "files", Right: true}, {Title: "in step?"}, {Title: "last sync"}, {Title: "lag", Right: true},
	}, rows, width)
}

func (s state) row() []string {
	cells := []string{s.name, s.role, nothing, nothing, nothing, nothing, nothing, nothing}
	if s.pid != 0 {
		cells[2] = strconv.Itoa(s.pid)
	}
	if !s.known {
		return cells
	}
	cells[3] = "away"
	if s.Connected {
		cells[3] = clock(s.ConnectedSince)
	}
	cells[4] = strconv.Itoa(s.Files)
	cells[5] = "no"
	if s.inStep {
		cells[5] = "yes"
	}
	cells[6] = clock(s.LastSync)
	if s.role != "master" {
		cells[7] = fmt.Sprintf("%d ms", s.Lag.Milliseconds())
	}
	return cells
}

func clock(t time.Time) string {
	if t.IsZero() {
		return nothing
	}
	return t.Local().Format("15:04:05")
}
