package nodeinfo

import (
	"testing"
	"time"

	"testudo/internal/agentgroups"
	"testudo/internal/agentinfo"
	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/integrity"
	"testudo/internal/recording"
)

// world is a cluster as its master's parts tell of it.
type world struct {
	name, version, address string
	members                []cluster.Member
	status                 map[string]*Status
	active                 map[string]int
}

func (w *world) master() *Master {
	return NewMaster(MasterConfig{
		Name: w.name, Version: w.version, Address: w.address,
		Members: func() []cluster.Member { return w.members },
		Files:   filesOf{w}, Info: infoOf{w}, Groups: groupsOf{w}, Agents: w,
	})
}

func (w *world) ActiveAgents(node string) int { return w.active[node] }

type (
	filesOf  struct{ w *world }
	infoOf   struct{ w *world }
	groupsOf struct{ w *world }
)

func (f filesOf) Status(name string) (integrity.Status, bool) {
	s, ok := f.w.status[name]
	if !ok {
		return integrity.Status{}, false
	}
	return integrity.Status{
		Free: s.IntegrityFree, CheckStarted: s.Check.Started, CheckEnded: s.Check.Ended, SyncStarted: s.Sync.Started, SyncEnded: s.Sync.Ended,
		Synced: s.Files.Any, Missing: s.Files.Missing, Extra: s.Files.Extra, Shared: s.Files.Shared,
	}, true
}

func (i infoOf) Status(name string) (agentinfo.Status, bool) {
	s, ok := i.w.status[name]
	if !ok {
		return agentinfo.Status{}, false
	}
	return agentinfo.Status{Free: s.AgentInfoFree, Started: s.AgentInfo.Started, Ended: s.AgentInfo.Ended, Chunks: s.AgentInfo.Chunks}, true
}

func (g groupsOf) Status(name string) (changes, full agentgroups.Status, ok bool) {
	s, ok := g.w.status[name]
	if !ok {
		return changes, full, false
	}
	return groupStatus(s.Groups), groupStatus(s.FullGroups), true
}

func groupStatus(t Transfer) agentgroups.Status {
	return agentgroups.Status{Started: t.Started, Ended: t.Ended, Chunks: t.Chunks}
}

// of makes the world that a health tells of.
func of(h Health) *world {
	w := &world{status: map[string]*Status{}, active: map[string]int{}}
	for _, n := range h.Nodes {
		w.active[n.Name] = n.ActiveAgents
		if n.Status == nil {
			w.name, w.version, w.address = n.Name, n.Version, n.Address
			continue
		}
		w.status[n.Name] = n.Status
		w.members = append(w.members, cluster.Member{
			Name: n.Name, Type: n.Type, Version: n.Version, Address: n.Address, LastKeepAlive: n.Status.LastKeepAlive,
		})
	}
	return w
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)

// small is a master with two workers, of which w2 has just come.
func small() *world {
	return &world{
		name: "master", version: "4.7.5", address: "192.0.2.1",
		members: []cluster.Member{
			{Name: "w1", Type: "worker", Version: "4.7.5", Address: "192.0.2.2", Connected: noon, LastKeepAlive: noon.Add(time.Minute)},
			{Name: "W2", Type: "worker", Version: "4.7.6", Address: "192.0.2.3", Connected: noon},
		},
		status: map[string]*Status{"w1": {
			IntegrityFree: true, Check: Span{noon, noon.Add(time.Second)}, Sync: Span{noon, noon.Add(time.Second)},
			Files: Files{Any: true, Missing: 3, Extra: 1, Shared: 2}, AgentInfo: Transfer{Span{noon, noon.Add(time.Second)}, 4},
			Groups: Transfer{Span{noon, noon.Add(time.Second)}, 1},
		}},
		active: map[string]int{"w1": 7, "master": 1},
	}
}

// wantFault demands an error of a number.
func wantFault(t *testing.T, err error, code fault.Code) *fault.Error {
	t.Helper()
	if !fault.Has(err, code) {
		t.Fatalf("got %v, want error %d", err, code)
	}
	return fault.From(err)
}

// recordedMessage is a message on a local socket of a real node.
type recordedMessage struct {
	Dir     string `json:"dir"`
	Command string `json:"command"`
	Text    string `json:"payload_text"`
}

// recorded reads what was said on a connection to a real node's local socket.
func recorded(t *testing.T, name string) []recordedMessage {
	t.Helper()
	return recording.Lines[recordedMessage](t, "golden/local/"+name+".jsonl")
}
