package wdb

// table is every command of the socket (docs/agentdb.md §7, §12, §13; those of
// the original that are not here are in its last section).
func (s *Server) table() map[string]*actor {
	agents := s.newActor(s.agentVerbs())
	agents.instead = s.ofOneAgent
	files := s.newActor([]verb{{name: "remove", group: "db", do: s.removeFiles}})
	files.instead = s.ofFiles
	return map[string]*actor{
		"global":  s.newActor(s.globalVerbs()),
		"agent":   agents,
		"wazuhdb": files,
		// Their databases belong to daemons that we are not.
		"mitre": {stats: newActorStats(0), instead: cannotOpen("mitre")},
		"task":  {stats: newActorStats(0), instead: cannotOpen("task")},
	}
}

func (s *Server) globalVerbs() []verb {
	return []verb{
		// §7.7, §14
		{name: "backup", group: "db", may: slow, do: s.backup},
		{name: "sql", group: "db", do: s.sql},
		{name: "vacuum", group: "db", may: bare | slow, do: s.vacuum},
		{name: "get_fragmentation", group: "db", may: bare, do: s.fragmentation},
		{name: "sleep", group: "db", do: sleep},
		// §7.1, §7.3, §7.4
		{name: "delete-agent", group: "agent", do: s.deleteAgent},
		{name: "disconnect-agents", group: "agent", do: s.disconnectAgents},
		{name: "find-agent", group: "agent", do: s.findAgent},
		{name: "get-agent-info", group: "agent", do: s.ofAgent((*store).AgentInfo)},
		{name: "get-agents-by-connection-status", group: "agent", do: s.agentsByStatus},
		{name: "get-all-agents", group: "agent", do: s.allAgents},
		{name: "get-distinct-groups", group: "agent", may: bare, do: s.distinctGroups},
		{name: "get-groups-integrity", group: "agent", do: s.groupsIntegrity},
		{name: "recalculate-agent-group-hashes", group: "agent", may: bare, do: s.recalculate},
		{name: "insert-agent", group: "agent", do: s.insertAgent},
		{name: "reset-agents-connection", group: "agent", do: s.resetConnections},
		{name: "select-agent-group", group: "agent", do: s.ofAgent((*store).AgentGroup)},
		{name: "select-agent-name", group: "agent", do: s.ofAgent((*store).AgentName)},
		{name: "set-agent-groups", group: "agent", do: s.setGroups},
		{name: "sync-agent-groups-get", group: "agent", do: s.syncGroups},
		{name: "sync-agent-info-get", group: "agent", may: bare, do: s.syncInfo},
		{name: "sync-agent-info-set", group: "agent", do: s.setSyncInfo},
		{name: "update-agent-data", group: "agent", do: s.updateData},
		{name: "update-agent-name", group: "agent", do: s.renameAgent},
		{name: "update-connection-status", group: "agent", do: s.updateConnectionStatus},
		{name: "update-status-code", group: "agent", do: s.updateStatusCode},
		{name: "update-keepalive", group: "agent", do: s.updateKeepalive},
		{name: "list-agents", group: "agent", may: bare, do: s.listAgents},   // §21
		{name: "count-agents", group: "agent", may: bare, do: s.countAgents}, // §21
		// §7.5
		{name: "get-group-agents", group: "belongs", do: s.agentsOfGroup},
		{name: "select-group-belong", group: "belongs", do: s.ofAgent((*store).GroupsOfAgent)},
		{name: "delete-group", group: "group", do: s.deleteGroup},
		{name: "find-group", group: "group", do: s.findGroup},
		{name: "insert-agent-group", group: "group", do: s.insertGroup},
		{name: "select-groups", group: "group", may: bare, do: s.groups},
		// §7.2
		{name: "get-labels", group: "labels", do: s.ofAgent((*store).Labels)},
	}
}

// agentVerbs are those of one agent's own database (§12).
func (s *Server) agentVerbs() []verb {
	return []verb{
		{name: "begin", group: "db", may: bare, do: settled},
		{name: "close", group: "db", may: bare, do: settled},
		{name: "commit", group: "db", may: bare, do: settled},
		{name: "remove", group: "db", may: bare, of: s.removeFile},
		{name: "sql", group: "db", of: s.agentSQL},
		{name: "sleep", group: "db", do: sleep},
		{name: "rootcheck", group: "rootcheck", may: bare, do: rootcheck},
		{name: "dbsync", group: "sync", of: s.dbsync},
	}
}
