package agentdb

// names gives numbers to texts that many agents share: nodes, versions, lists of
// groups. It counts the users of each and forgets those without, so that it is
// never larger than the agents it serves. Number 0 is "" and always there.
type names struct {
	numbers map[string]uint32
	entries []nameEntry
	free    []uint32
}

type nameEntry struct {
	text  string
	users int
}

func newNames() names {
	return names{numbers: map[string]uint32{"": 0}, entries: []nameEntry{{}}}
}

func (n *names) text(number uint32) string { return n.entries[number].text }

// number returns the number of a text that has users.
func (n *names) number(text string) (uint32, bool) {
	i, ok := n.numbers[text]
	return i, ok
}

// take returns the text's number and counts one more user.
func (n *names) take(text string) uint32 {
	i, ok := n.numbers[text]
	if !ok {
		if last := len(n.free) - 1; last >= 0 {
			i, n.free = n.free[last], n.free[:last]
		} else {
			i = uint32(len(n.entries))
			n.entries = append(n.entries, nameEntry{})
		}
		n.entries[i].text = text
		n.numbers[text] = i
	}
	n.entries[i].users++
	return i
}

// drop counts one user less.
func (n *names) drop(number uint32) {
	e := &n.entries[number]
	if e.users--; number == 0 || e.users > 0 {
		return
	}
	delete(n.numbers, e.text)
	*e = nameEntry{}
	n.free = append(n.free, number)
}
