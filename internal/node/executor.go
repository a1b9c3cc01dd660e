package node

import (
	"testudo/internal/dapi"
	"testudo/internal/executor"
)

// executor makes what runs the functions that this node does not have, or nil
// when no program is set (docs/executor.md).
func (n *Node) executor() dapi.Fallback {
	set := n.cfg.Testudo.Executor
	if set.Program == "" {
		return nil
	}
	pool := executor.New(executor.Config{
		Program: set.Program, Home: n.cfg.Home, Processes: set.Processes, IdleTime: set.IdleTime,
		AnswerBytes: int64(set.AnswerBytes), MemoryBytes: int64(set.MemoryBytes), Log: n.log,
	})
	n.group.Add("external executor", pool.Serve)
	return pool
}
