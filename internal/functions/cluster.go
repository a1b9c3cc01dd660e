package functions

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

const (
	moduleCluster = "wazuh.cluster"
	moduleControl = "wazuh.core.cluster.control"

	// localClient is the argument that the original fills with a client of the
	// local socket.
	localClient = "lc"

	nodeID       = "node:id"
	readsCluster = "cluster:read"
)

func readsNodes() []dapi.Permission {
	return []dapi.Permission{{Action: readsCluster, Resource: nodeID}}
}

// clusterFunctions are the functions about nodes.
type clusterFunctions struct{ d Deps }

func (f *clusterFunctions) functions() []dapi.Function {
	asked := func(module, name string, needs []dapi.Permission) dapi.Function {
		return dapi.Function{Module: module, Name: name, Type: dapi.LocalMaster, Async: true, Client: localClient, Needs: needs}
	}
	own := func(name string) dapi.Function {
		return dapi.Function{Module: moduleCluster, Name: name, Type: dapi.LocalAny, Needs: readsNodes()}
	}
	status := dapi.Function{
		Module: moduleCluster, Name: "get_status_json", Type: dapi.LocalMaster,
		Needs: []dapi.Permission{{Action: "cluster:status", Resource: "*:*"}},
	}
	synced := dapi.Function{
		Module: moduleCluster, Name: "get_ruleset_sync_status", Type: dapi.DistributedMaster, Async: true, Needs: readsNodes(),
	}
	return []dapi.Function{
		dapi.Typed(own("get_node_wrapper"), f.node),
		dapi.Typed(own("read_config_wrapper"), f.config),
		dapi.Typed(asked(moduleCluster, "get_nodes_info", readsNodes()), f.nodes),
		dapi.Typed(asked(moduleCluster, "get_health_nodes", readsNodes()), f.health),
		dapi.Typed(status, f.status),
		dapi.Typed(asked(moduleControl, "get_node_ruleset_integrity", nil), f.ruleset),
		dapi.Typed(synced, f.synced),
	}
}

type none struct{}

// ownInfo is the answer of the functions that tell one thing of this node. A
// user who may not read it gets an error, or nothing where all nodes are asked.
func (f *clusterFunctions) ownInfo(c *dapi.Call, r *result.Affected, item func() (any, error)) (result.Result, error) {
	if !c.Permissions.Allows(readsCluster, nodeID+":"+c.Node) {
		if c.Broadcasting {
			return r, nil
		}
		return nil, rbac.Denied(nodeID, c.Node)
	}
	v, err := item()
	if err != nil {
		return nil, err
	}
	return r, r.Add(v)
}

func ownMessages() *result.Affected {
	return &result.Affected{AllMsg: "All selected information was returned", NoneMsg: "No information was returned"}
}

func (f *clusterFunctions) node(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	return f.ownInfo(c, ownMessages(), func() (any, error) {
		return result.Object{
			{Name: "node", Value: text(c.Node)}, {Name: "cluster", Value: text(f.d.Cluster)}, {Name: "type", Value: text(f.d.Role)},
		}, nil
	})
}

func (f *clusterFunctions) config(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	return f.ownInfo(c, ownMessages(), func() (any, error) {
		section, err := f.d.Config()
		return json.RawMessage(section), err
	})
}

func (f *clusterFunctions) status(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	if !c.Permissions.Allows("cluster:status", "*:*:*") {
		return nil, rbac.Denied("*:*")
	}
	yes := map[bool]string{true: "yes", false: "no"}
	// Whoever reads this is answered by the daemon itself: it runs.
	return result.NewPlain(json.RawMessage(`{"data": {"enabled": "` + yes[f.d.Enabled] + `", "running": "yes"}}`))
}

func (f *clusterFunctions) ruleset(ctx context.Context, _ *dapi.Call, _ none) (result.Result, error) {
	hashes, err := f.d.Nodes.GetHash(ctx)
	if err != nil {
		return nil, err
	}
	return result.NewPlain(json.RawMessage(hashes))
}

type syncedArgs struct {
	Master map[string]string `json:"master_md5" required:"true"` // path to hash, whatever the name says
}

func (f *clusterFunctions) synced(ctx context.Context, c *dapi.Call, a syncedArgs) (result.Result, error) {
	r := &result.Affected{
		SortCasting: []string{"str"},
		AllMsg:      "Nodes ruleset synchronization status was successfully read",
		SomeMsg:     "Could not read ruleset synchronization status in some nodes",
		NoneMsg:     "Could not read ruleset synchronization status",
	}
	return f.ownInfo(c, r, func() (any, error) {
		hashes, err := f.d.Nodes.GetHash(ctx)
		if err != nil {
			return nil, err
		}
		own := map[string]string{}
		if err := json.Unmarshal(hashes, &own); err != nil {
			return nil, fault.Wrap(fault.NotJSON, nil, err)
		}
		same := len(own) == len(a.Master)
		for path, hash := range own {
			same = same && a.Master[path] == hash
		}
		value := json.RawMessage("false")
		if same {
			value = json.RawMessage("true")
		}
		return result.Object{{Name: "name", Value: text(c.Node)}, {Name: "synced", Value: value}}, nil
	})
}

// readable parts the nodes that the user named, or all there are for nil, into
// those he may read and those that he may not. The error is that of a user who
// may read none of those he named.
func (f *clusterFunctions) readable(ctx context.Context, c *dapi.Call, named []string) (rbac.Verdict, error) {
	verdict, err := c.Permissions.Filter(rbac.Ask{
		Action: readsCluster, Type: nodeID, Named: named,
		All: func() ([]string, error) { return f.d.Nodes.Names(ctx) },
	})
	if err == nil && verdict.Refused() {
		err = rbac.Denied(nodeID, verdict.Denied...)
	}
	return verdict, err
}

type healthArgs struct {
	Nodes []string `json:"filter_node"`
}

func (f *clusterFunctions) health(ctx context.Context, c *dapi.Call, a healthArgs) (result.Result, error) {
	verdict, err := f.readable(ctx, c, a.Nodes)
	if err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg:  "All selected nodes healthcheck information was returned",
		SomeMsg: "Some nodes healthcheck information was not returned",
		NoneMsg: "No healthcheck information was returned",
	}
	defer refuse(r, verdict)
	filter, err := json.Marshal(append([]string{}, verdict.Allowed...))
	if err != nil {
		return nil, err
	}
	answer, err := f.d.Nodes.GetHealth(ctx, filter)
	if err != nil {
		return nil, err
	}
	var health struct {
		Nodes result.Object `json:"nodes"`
	}
	if err := json.Unmarshal(answer, &health); err != nil {
		return nil, fault.Wrap(fault.NotJSON, nil, err)
	}
	slices.SortFunc(health.Nodes, func(a, b result.Member) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range health.Nodes {
		// Such a name has a client that is there for one transfer.
		if !strings.HasPrefix(n.Name, "tmp") {
			r.Items = append(r.Items, n.Value)
		}
	}
	r.Total = len(r.Items)
	return r, nil
}

// refuse takes down the resources that were named and may not be read. It comes
// when all else is taken down (docs/dapi.md §4).
func refuse(r *result.Affected, v rbac.Verdict) {
	if len(v.Denied) > 0 {
		r.Fail(rbac.Denied(nodeID, v.Denied...), fault.TextIDs(v.Denied...)...)
	}
}

func text(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`) // a string always encodes
	}
	return b
}
