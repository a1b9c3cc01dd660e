package agentdb

// hint tells one listener that something has changed; one value may stand for
// many changes.
type hint chan struct{}

func newHint() hint { return make(hint, 1) }

func (h hint) give() {
	select {
	case h <- struct{}{}:
	default:
	}
}

// InfoChanged gets a value soon after agents have changed that are to be
// reported. It is for one listener.
func (s *Store) InfoChanged() <-chan struct{} { return s.infoHint }

// GroupsChanged gets a value soon after groups of agents have changed that are
// to be sent out. It is for one listener.
func (s *Store) GroupsChanged() <-chan struct{} { return s.groupsHint }
