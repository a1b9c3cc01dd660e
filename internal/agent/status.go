package agent

// Status is what a node knows of an agent's connection (docs/agentdb.md §8).
type Status string

// The four states. An agent that has only been registered is NeverConnected; one
// that has shown itself but has not yet sent a keep-alive is Pending.
const (
	Pending        Status = "pending"
	NeverConnected Status = "never_connected"
	Active         Status = "active"
	Disconnected   Status = "disconnected"
)

// Statuses returns the four states in the order in which lists show them.
func Statuses() []Status { return []Status{Active, Pending, Disconnected, NeverConnected} }

// Valid reports whether s is one of the four.
func (s Status) Valid() bool {
	switch s {
	case Pending, NeverConnected, Active, Disconnected:
		return true
	default:
		return false
	}
}
