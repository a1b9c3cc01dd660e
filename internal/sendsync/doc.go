// Package sendsync lets local programs of a worker ask a daemon of the master:
// one that enrols an agent at a worker, for example, asks the master's
// authentication daemon for its key (docs/local.md §7). Both ends are here.
package sendsync

// Commands, and what answers them (docs/local.md §7).
const (
	cmdAsk    = "sendsync"
	cmdAnswer = "sendsyn_res"
	cmdError  = "sendsyn_err"
	cmdInline = "t_sync_res" // a small answer without a string, between Testudo nodes (docs/extensions.md)

	textQueued         = "Added request to SendSync requests queue"
	textForwarded      = "Response forwarded to worker"
	textErrorForwarded = "SendSync error forwarded to worker"
)

// daemons are those that can be asked, with their sockets below the home.
func daemons() map[string]string {
	return map[string]string{
		"authd":        "queue/sockets/auth",
		"task-manager": "queue/tasks/task",
		"wazuh-db":     "queue/db/wdb",
		"remoted":      "queue/sockets/remote",
	}
}
