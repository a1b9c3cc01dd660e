package agentdb

import "testudo/internal/agent"

// dictionary gives numbers to texts that many agents share: nodes, versions or
// lists of groups. It counts the users of each and forgets those without, so that
// it is never larger than the agents it serves. Number 0 is "" and always there.
type dictionary struct {
	numbers map[string]uint32
	entries []entry
	free    []uint32
}

// entry is a text and who uses it.
type entry struct {
	text   string
	users  int
	agents statusCounts // the users but agent 0
}

// statusCounts counts agents by statusNumber.
type statusCounts [4]int

// of is how many there are with a status, "" for any.
func (c *statusCounts) of(s agent.Status) int {
	if s != "" {
		return c[statusNumber(s)]
	}
	return c[0] + c[1] + c[2] + c[3]
}

func newDictionary() dictionary {
	return dictionary{numbers: map[string]uint32{"": 0}, entries: []entry{{}}}
}

func (d *dictionary) text(number uint32) string { return d.entries[number].text }

// number returns the number of a text that has users.
func (d *dictionary) number(text string) (uint32, bool) {
	i, ok := d.numbers[text]
	return i, ok
}

// take returns the text's number and counts one more user.
func (d *dictionary) take(text string) uint32 {
	i, ok := d.numbers[text]
	if !ok {
		if last := len(d.free) - 1; last >= 0 {
			i, d.free = d.free[last], d.free[:last]
		} else {
			i = uint32(len(d.entries))
			d.entries = append(d.entries, entry{})
		}
		d.entries[i].text = text
		d.numbers[text] = i
	}
	d.entries[i].users++
	return i
}

// drop counts one user less.
func (d *dictionary) drop(number uint32) {
	e := &d.entries[number]
	if e.users--; number == 0 || e.users > 0 {
		return
	}
	delete(d.numbers, e.text)
	*e = entry{}
	d.free = append(d.free, number)
}

// change is take for a user that had another text until now, or the same.
func (d *dictionary) change(number *uint32, text string) {
	if old := *number; d.entries[old].text != text {
		*number = d.take(text)
		d.drop(old)
	}
}
