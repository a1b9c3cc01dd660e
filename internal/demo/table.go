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
	"testudo/internal/fleet"
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

func (s *show) startTable(ctx context.Context) *liveTable {
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
				s.out.Live("\n" + s.table(ctx))
			case <-ctx.Done():
				return
			}
		}
	})
	return t
}

// stop leaves the table as it is.
func (t *liveTable) stop() {
	t.end()
	t.done.Wait()
}

// showTable writes the table once where nobody sees the live one.
func (s *show) showTable(ctx context.Context) {
	if !s.out.Terminal() {
		s.out.Linef("%s", s.table(ctx))
	}
}

// table is how the cluster is now: processes as we see them, the rest as the
// master has it.
func (s *show) table(ctx context.Context) string {
	known := map[string]filestate.NodeState{}
	path := filepath.Join(s.fleet.Master().Home, stateFile)
	if nodes, err := readStates(ctx, path); err == nil {
		for _, n := range nodes {
			known[n.Node] = n
		}
	}
	var rows [][]string
	for _, n := range s.fleet.Nodes() {
		rows = append(rows, row(n, known[n.Name], known[s.fleet.Master().Name]))
	}
	return screen.Table([]screen.Column{
		{Title: "node"}, {Title: "role"}, {Title: "process", Right: true}, {Title: "connected since"},
		{Title: "files", Right: true}, {Title: "in step?"}, {Title: "last sync"}, {Title: "lag", Right: true},
	}, rows, s.out.Width())
}

// readStates asks the master's database, which is not there at first.
func readStates(ctx context.Context, path string) ([]filestate.NodeState, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return filestate.Nodes(ctx, path)
}

const nothing = "-"

func row(n *fleet.Node, state, master filestate.NodeState) []string {
	process := nothing
	if pid := n.PID(); pid > 0 {
		process = strconv.Itoa(pid)
	}
	cells := []string{n.Name, n.Role, process, nothing, nothing, nothing, nothing, nothing}
	if state.Node == "" {
		return cells
	}
	if state.Connected && process != nothing {
		cells[3] = clock(state.ConnectedSince)
	} else {
		cells[3] = "away"
	}
	cells[4] = strconv.Itoa(state.Files)
	cells[5] = "no"
	if !state.InStepSince.IsZero() && state.ManifestSum == master.ManifestSum && cells[3] != "away" {
		cells[5] = "yes"
	}
	cells[6] = clock(state.LastSync)
	if n.Role != "master" {
		cells[7] = fmt.Sprintf("%d ms", state.Lag.Milliseconds())
	}
	return cells
}

func clock(t time.Time) string {
	if t.IsZero() {
		return nothing
	}
	return t.Local().Format("15:04:05")
}
