package wdb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

// setBytes bounds the elements of one change of groups, which have to fit into a
// request with the rest of it.
const setBytes = 48 << 10

// SetGroups changes the groups of agents as agentdb.Store does, in as many
// requests as the text needs. What the database refuses, in whole or in part, is
// agentdb.ErrSetGroups; the other requests are made nevertheless.
func (e *External) SetGroups(ctx context.Context, change agentdb.GroupChange) error {
	var failed error
	send := func(elements [][]byte) error {
		err := e.client.run(ctx, fmt.Sprintf(`global set-agent-groups {"mode":%q,"sync_status":%q,"data":[%s]}`,
			change.Mode, change.Sync, bytes.Join(elements, []byte(","))))
		if words, refused := Refusal(err); refused {
			failed = fmt.Errorf("%w: %.200q", agentdb.ErrSetGroups, words)
			return nil
		}
		return err
	}
	var elements [][]byte
	size := 0
	for _, a := range change.Data {
		element, err := json.Marshal(struct {
			ID     int64    `json:"id"`
			Groups []string `json:"groups"`
		}{int64(a.ID), append([]string{}, a.Groups...)})
		if err != nil {
			return err
		}
		if size += len(element) + 1; size > setBytes && len(elements) > 0 {
			if err := send(elements); err != nil {
				return err
			}
			elements, size = nil, len(element)
		}
		elements = append(elements, element)
	}
	if len(elements) > 0 {
		if err := send(elements); err != nil {
			return err
		}
	}
	return failed
}

// EachState calls f with the status and the version of those of the agents that
// exist.
func (e *External) EachState(ctx context.Context, ids []agent.ID, f func(id agent.ID, status agent.Status, version string)) error {
	const most = 100 // agents in one request
	for part := range slices.Chunk(ids, most) {
		list := make([]string, len(part))
		for i, id := range part {
			list[i] = fmt.Sprint(int64(id))
		}
		rows, err := rowsOf[struct {
			ID      agent.ID     `json:"id"`
			Status  agent.Status `json:"connection_status"`
			Version string       `json:"version"` // absent when not known
		}](ctx, e, "global sql SELECT id, connection_status, version FROM agent WHERE id IN ("+strings.Join(list, ",")+")")
		if err != nil {
			return fmt.Errorf("read the states of agents: %w", err)
		}
		for _, r := range rows {
			f(r.ID, r.Status, r.Version)
		}
	}
	return nil
}
