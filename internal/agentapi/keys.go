package agentapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"path"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
)

// withoutManager takes the manager out of those permitted: it fails with error
// 1703 if it was named.
func (p *permit) withoutManager(r *result.Affected) {
	for i, id := range p.ids {
		if id == agent.Manager {
			r.Fail(fault.New(fault.ManagerAgent, nil), fault.TextID(id.String()))
			p.ids = append(p.ids[:i:i], p.ids[i+1:]...)
			return
		}
	}
}

// eachOf answers with something of each agent but the manager.
func (a *API) eachOf(ctx context.Context, c *dapi.Call, named []string, r *result.Affected, columns []string, item func(Row) json.RawMessage) (result.Result, error) {
	p, err := a.readable(ctx, c, named)
	if err != nil {
		return nil, err
	}
	p.withoutManager(r)
	p.fail(r)
	w, err := a.agentsOf(&p)
	if err != nil {
		return nil, err
	}
	s := query.Statement{SQL: "SELECT " + strings.Join(columns, ", ") + " FROM agent" + w.String() + " ORDER BY id", Args: w.Args(), Columns: len(columns)}
	err = a.cfg.Database.Rows(ctx, s, func(row Row) error {
		r.Items = append(r.Items, item(row))
		r.Total++
		return nil
	})
	return r, refused(err)
}

func idOf(r Row) string { return agent.ID(r.Int64(0)).String() }

// keys gives the keys of agents in the form in which agents import them.
func (a *API) keys(ctx context.Context, c *dapi.Call, args namedArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg: "Obtained keys for all selected agents", SomeMsg: "Some agent keys were not obtained",
		NoneMsg: "No agent keys were obtained",
	}
	return a.eachOf(ctx, c, args.Agents, r, []string{"id", "name", "register_ip", "internal_key"}, func(row Row) json.RawMessage {
		id := idOf(row)
		line := append([]byte(id), ' ')
		line = append(row.AppendText(line, 1), ' ')
		line = append(row.AppendText(line, 2), ' ')
		line = row.AppendText(line, 3)
		return json.RawMessage(`{"id":"` + id + `","key":"` + base64.StdEncoding.EncodeToString(line) + `"}`)
	})
}

// syncGroup tells whether agents have the file that their groups have now.
func (a *API) syncGroup(ctx context.Context, c *dapi.Call, args namedArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg:  "Sync info was returned for all selected agents",
		SomeMsg: "Sync info was not returned for some selected agents",
		NoneMsg: "No sync info was returned",
	}
	sum, err := hasher("")
	if err != nil {
		return nil, err
	}
	now := map[string]string{} // hashes by the text of groups
	return a.eachOf(ctx, c, args.Agents, r, []string{"id", "`group`", "merged_sum"}, func(row Row) json.RawMessage {
		text, has := string(row.AppendText(nil, 1)), string(row.AppendText(nil, 2))
		wanted, known := now[text]
		if !known {
			wanted = a.mergedHash(ctx, text, sum)
			now[text] = wanted
		}
		synced := "false"
		if has != "" && has == wanted {
			synced = "true"
		}
		return json.RawMessage(`{"id":"` + idOf(row) + `","synced":` + synced + `}`)
	})
}

// mergedHash is the hash of the file that agents with the groups get, "" when it
// cannot be read.
func (a *API) mergedHash(ctx context.Context, groups string, sum sumFunc) string {
	dir := path.Join(sharedDir, groups)
	if strings.Contains(groups, ",") {
		dir = agent.MultigroupDir(groups)
	} else if agent.CheckGroupName(groups) != nil {
		return ""
	}
	hash, err := a.fileHash(ctx, path.Join(dir, mergedFile), sum)
	if err != nil {
		return ""
	}
	return hash
}
