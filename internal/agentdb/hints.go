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

// Replaced gets a value after the database has been replaced by a backup: what was
// made of other files is as old as that. It is for one listener.
func (s *Store) Replaced() <-chan struct{} { return s.replacedHint }
