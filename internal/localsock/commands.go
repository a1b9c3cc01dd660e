package localsock

import (
	"context"

	"testudo/internal/fault"
)

// Commands is what a node answers. Errors become the error JSON of docs/wire.md
// §5.1, a session.PlainError its plain text. A payload belongs to the function
// that gets it. ctx ends when the client has gone. A command whose function is
// nil is unknown.
type Commands struct {
	// Config, Hash, and on a master Nodes and Health are answered while the
	// client's next request waits, so they must not wait for anybody.
	Config        func() ([]byte, error)
	Nodes, Health func(ctx context.Context, payload []byte) ([]byte, error)
	Hash          func(ctx context.Context) ([]byte, error)
	// Why says how nodes are, to Testudo's own clients (docs/ctl.md §4). Its answer
	// comes later in both roles.
	Why func(ctx context.Context, payload []byte) ([]byte, error)
	// DAPI answers an API request: it hands the answer, in one or more pieces, to
	// take, which sends it.
	DAPI func(ctx context.Context, client string, request []byte, take func(answer ...[]byte) error) error
	// Forward has another node answer it; nil on a worker.
	Forward func(ctx context.Context, client, node string, request []byte, take func(answer ...[]byte) error) error
	// Known says whether a node can be forwarded to; nil on a worker.
	Known func(node string) bool
	// Sync asks a daemon of the master; nil on a master.
	Sync func(ctx context.Context, client string, request []byte) ([]byte, error)
	// Relayed says that Nodes and Health ask the master, so that their answers
	// come later, as on a worker.
	Relayed bool
	// Connected says whether there is a master to ask: nil, or fault 3023. It is
	// nil on a master.
	Connected func() error
}

// Names of commands (docs/local.md §2 and §3).
const (
	cmdConfig  = "get_config"
	cmdNodes   = "get_nodes"
	cmdHealth  = "get_health"
	cmdHash    = "get_hash"
	cmdWhy     = "t_why"
	cmdDAPI    = "dapi"
	cmdForward = "dapi_fwd"
	cmdSync    = "sendsync"
	cmdAsync   = "sendasync"
	cmdFile    = "send_file"
	cmdEcho    = "echo-c"

	cmdAPIResult     = "dapi_res"
	cmdAPIError      = "dapi_err"
	cmdControlResult = "control_res"
	cmdFileResult    = "send_f_res"

	cmdNewString    = "new_str"
	cmdStringUpdate = "str_upd"
	cmdStringError  = "err_str"

	nameOK   = "ok"
	nameErr  = "err"
	nameEcho = "ok-m"
)

// First replies, which clients of the original look for.
const (
	textRelayed   = "Sent request to master node"
	textQueued    = "Added request to API requests queue"
	textForwarded = "Request forwarded to worker node"
	textSync      = "Added request to sendsync requests queue"
	textNobody    = "There are no connected worker nodes" // of older masters: an empty result
)

// errBusy answers what is beyond Options.Requests.
func errBusy() error {
	return fault.New(fault.Busy, "requests of this client")
}
