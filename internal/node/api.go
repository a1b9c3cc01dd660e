package node

import (
	"context"
	"fmt"
	"path/filepath"

	"testudo/internal/config"
	"testudo/internal/home"
	"testudo/internal/localsock"
	"testudo/internal/unixsock"
)

// localSocket is where local programs ask the node.
const localSocket = home.QueueDir + "/" + home.Socket

// api is what answers local programs.
type api struct {
	commands localsock.Commands
	listener *unixsock.Listener // nil before addAPI
}

// addAPI opens the socket of local programs, which can ask as soon as the node
// runs. It comes after the cluster's tasks, so that it ends before them.
func (n *Node) addAPI(o Options) (err error) {
	set := n.cfg.Testudo.Local
	section := n.cfg.Cluster
	if !set.ShowKey {
		section.Key = config.Secret(section.Key.String())
	}
	n.api.commands.Config = section.JSON
	server := localsock.NewServer(localsock.Options{
		Path: filepath.Join(n.cfg.Home, localSocket), UID: o.UID, GID: o.GID,
		Connections: set.Connections, Requests: set.Requests, MessageBytes: int64(set.MessageBytes),
		MessageTime: set.MessageTime, Idle: set.IdleTime, ReplyTime: n.cfg.Intervals.Communication.TimeoutRequest,
		Log: o.Log, Metrics: n.metrics,
	}, n.api.commands)
	listener, err := server.Listen()
	if err != nil {
		return fmt.Errorf("serve local programs: %w", err)
	}
	n.api.listener = listener
	n.group.Add("local socket", func(ctx context.Context) error { return server.Serve(ctx, listener) })
	return nil
}

// close gives back what addAPI opened, for a node that never ran.
func (a *api) close() error {
	if a.listener == nil {
		return nil
	}
	return a.listener.Close()
}
