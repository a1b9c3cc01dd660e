package nodeinfo

import (
	"context"
	"encoding/json"

	"testudo/internal/cluster"
	"testudo/internal/session"
)

// Master is the master's end.
type Master struct {
	cfg    MasterConfig
	hashes hashes
	asked  recentFilters
}

// NewMaster returns the master's end over the parts of the node.
func NewMaster(cfg MasterConfig) *Master {
	return &Master{cfg: cfg, hashes: hashes{cfg.Tree, cfg.Items}}
}

// Offer implements cluster.Exchange: workers ask what their own clients ask.
func (m *Master) Offer(_ *session.Session, mux *session.Mux) func(context.Context) {
	answer := func(f func(context.Context, []byte) ([]byte, error)) session.Handler {
		return func(ctx context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
			body, err := f(ctx, payload)
			return session.OK(body), err
		}
	}
	mux.Handle(cmdNodes, answer(m.GetNodes))
	mux.Handle(cmdHealth, answer(m.GetHealth))
	return nil
}

// Nodes lists the nodes that the filter wants; total counts them before offset
// and limit. The error is a *fault.Error.
func (m *Master) Nodes(f NodeFilter) (nodes []Node, total int, err error) {
	members := m.cfg.Members()
	all := make([]Node, 0, len(members)+1)
	all = append(all, m.self())
	for i := range members {
		all = append(all, nodeOf(&members[i]))
	}
	return f.apply(all)
}

func (m *Master) self() Node {
	return Node{Name: m.cfg.Name, Type: typeMaster, Version: m.cfg.Version, Address: m.cfg.Address}
}

func nodeOf(w *cluster.Member) Node {
	return Node{Name: w.Name, Type: w.Type, Version: w.Version, Address: w.Address}
}

// GetNodes answers get_nodes with JSON. The error is a *fault.Error.
func (m *Master) GetNodes(_ context.Context, filter []byte) ([]byte, error) {
	f, err := m.nodeFilter(filter)
	if err != nil {
		return nil, err
	}
	nodes, total, err := m.Nodes(f)
	if err != nil {
		return nil, err
	}
	return f.appendNodes(make([]byte, 0, 48+nodeBytes*len(nodes)), nodes, total), nil
}

// List is Nodes with what is shown of each, in JSON.
func (m *Master) List(_ context.Context, f NodeFilter) (items []json.RawMessage, total int, err error) {
	nodes, total, err := m.Nodes(f)
	if err != nil {
		return nil, 0, err
	}
	return f.items(nodes), total, nil
}

// Names are those of all nodes, the master's first.
func (m *Master) Names(context.Context) ([]string, error) {
	members := m.cfg.Members()
	names := append(make([]string, 0, len(members)+1), m.cfg.Name)
	for i := range members {
		names = append(names, members[i].Name)
	}
	return names, nil
}

func (m *Master) nodeFilter(argument []byte) (NodeFilter, error) {
	if f, ok := m.asked.find(argument); ok {
		return f, nil
	}
	f, err := ParseNodeFilter(argument)
	if err == nil {
		m.asked.keep(argument, f)
	}
	return f, err
}

// Health tells how the nodes are that the filter wants.
func (m *Master) Health(f HealthFilter) Health {
	var h Health
	members := m.cfg.Members()
	for i := range members {
		if f.worker(members[i].Name) {
			h.Nodes = append(h.Nodes, m.worker(&members[i]))
		}
	}
	h.Workers = len(h.Nodes)
	if f.has(m.cfg.Name) {
		h.Nodes = append(h.Nodes, NodeHealth{Node: m.self(), ActiveAgents: m.activeAgents(m.cfg.Name)})
	}
	return h
}

// HealthOf is Health of the nodes named, or of all when names is nil.
func (m *Master) HealthOf(names []string) Health {
	if names == nil {
		return m.Health(Everybody())
	}
	return m.Health(Named(names))
}

// GetHealth answers get_health with JSON. The error is a *fault.Error.
func (m *Master) GetHealth(_ context.Context, filter []byte) ([]byte, error) {
	f, err := ParseHealthFilter(filter)
	if err != nil {
		return nil, err
	}
	h := m.Health(f)
	return h.AppendJSON(make([]byte, 0, 64+1280*len(h.Nodes))), nil
}

// GetHash answers get_hash with JSON: path to hash of this node's own rules,
// decoders and lists.
func (m *Master) GetHash(ctx context.Context) ([]byte, error) { return m.hashes.answer(ctx) }

func (m *Master) activeAgents(node string) int {
	if m.cfg.Agents == nil {
		return 0
	}
	return m.cfg.Agents.ActiveAgents(node)
}

// worker puts together what the parts know of a worker.
func (m *Master) worker(w *cluster.Member) NodeHealth {
	s := &Status{IntegrityFree: true, AgentInfoFree: true, LastKeepAlive: w.LastKeepAlive}
	if s.LastKeepAlive.IsZero() { // as in the original: hello counts
		s.LastKeepAlive = w.Connected
	}
	if m.cfg.Files != nil {
		if files, ok := m.cfg.Files.Status(w.Name); ok {
			s.IntegrityFree = files.Free
			s.Check = Span{files.CheckStarted, files.CheckEnded}
			s.Sync = Span{files.SyncStarted, files.SyncEnded}
			s.Files = Files{files.Synced, files.Missing, files.Extra, files.Shared}
		}
	}
	if m.cfg.Info != nil {
		if info, ok := m.cfg.Info.Status(w.Name); ok {
			s.AgentInfoFree = info.Free
			s.AgentInfo = Transfer{Span{info.Started, info.Ended}, info.Chunks}
		}
	}
	if m.cfg.Groups != nil {
		if changes, full, ok := m.cfg.Groups.Status(w.Name); ok {
			s.Groups = Transfer{Span{changes.Started, changes.Ended}, changes.Chunks}
			s.FullGroups = Transfer{Span{full.Started, full.Ended}, full.Chunks}
		}
	}
	return NodeHealth{Node: nodeOf(w), ActiveAgents: m.activeAgents(w.Name), Status: s}
}
