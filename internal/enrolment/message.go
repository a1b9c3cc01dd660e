package enrolment

import (
	"strings"
	"time"

	"testudo/internal/agent"
)

// Functions of the local socket (docs/enrolment.md §9). FunctionConfirm is ours.
const (
	FunctionAdd     = "add"
	FunctionRemove  = "remove"
	FunctionGet     = "get"
	FunctionConfirm = "confirm"
)

// MaxMessage is the longest message of the local socket, in bytes.
const MaxMessage = 65536

// Message is one thing that is asked of the local socket, or of the master
// through the cluster.
type Message struct {
	Function  string
	Arguments Arguments
}

// Arguments is what a message says. A field that is not there is "" or nil;
// ParseMessage lets no empty Name, ID or Key through.
type Arguments struct {
	Name    string
	IP      string // as it came: see ParseAddress
	ID      string // text, compared as such
	Key     agent.Secret
	KeyHash string
	Groups  []string // see SplitGroups
	Force   *Force   // nil: the settings of the node count
	Purge   bool
	Held    bool // ours: the sender will confirm that the agent has its key
}

// messageJSON and what it holds have their members in the original's order.
type messageJSON struct {
	Arguments argumentsJSON `json:"arguments"`
	Function  string        `json:"function"`
}

type argumentsJSON struct {
	Name    string     `json:"name,omitempty"`
	IP      string     `json:"ip,omitempty"`
	Groups  string     `json:"groups,omitempty"`
	KeyHash string     `json:"key_hash,omitempty"`
	Key     string     `json:"key,omitempty"`
	ID      string     `json:"id,omitempty"`
	Purge   bool       `json:"purge,omitempty"`
	Force   *forceJSON `json:"force,omitempty"`
	Held    bool       `json:"held,omitempty"`
}

type forceJSON struct {
	Disconnected struct {
		Enabled bool  `json:"enabled"`
		Value   int64 `json:"value"`
	} `json:"disconnected_time"`
	Enabled           bool  `json:"enabled"`
	KeyMismatch       bool  `json:"key_mismatch"`
	AfterRegistration int64 `json:"after_registration_time"`
}

// JSON is the message as a worker sends it: compact, without members that are
// not known. It holds the key in the clear.
func (m Message) JSON() []byte {
	a := m.Arguments
	j := messageJSON{Function: m.Function, Arguments: argumentsJSON{
		Name: a.Name, IP: a.IP, Groups: agent.GroupsText(a.Groups), KeyHash: a.KeyHash,
		Key: a.Key.Reveal(), ID: a.ID, Purge: a.Purge, Held: a.Held,
	}}
	if f := a.Force; f != nil {
		w := &forceJSON{Enabled: f.Enabled, KeyMismatch: f.KeyMismatch, AfterRegistration: seconds(f.AfterRegistration)}
		w.Disconnected.Enabled, w.Disconnected.Value = f.DisconnectedEnabled, seconds(f.Disconnected)
		j.Arguments.Force = w
	}
	return compact(j)
}

// Envelope is the message within what the cluster takes to the daemon that is
// named (docs/enrolment.md §10).
func (m Message) Envelope() []byte {
	var b strings.Builder
	b.WriteString(`{"daemon_name":"authd","message":`)
	b.Write(m.JSON())
	b.WriteString("}")
	return []byte(b.String())
}

// Addition is the message with which a worker passes a request on.
func (r Request) Addition() Message {
	return Message{Function: FunctionAdd, Arguments: Arguments{
		Name: r.Name, IP: r.Address, Groups: r.Groups, KeyHash: r.KeyHash,
	}}
}

// maxSeconds bounds times that come as numbers, as the original does.
const maxSeconds = int64(1<<31 - 1)

func inSeconds(n int64) time.Duration {
	return time.Duration(max(min(n, maxSeconds), -maxSeconds-1)) * time.Second
}
