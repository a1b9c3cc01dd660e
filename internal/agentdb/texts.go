package agentdb

import (
	"slices"
	"strings"
)

// texts are the texts of a block's rows, one behind the other in one piece of
// memory: a search through all of them is one through a single text, and nothing
// of them but that piece concerns the garbage collector. What was handed out stays
// as it is when they change; it keeps the piece alive.
type texts struct {
	all  strings.Builder
	ends []uint32 // of each text in all
}

func (t *texts) start(i int) uint32 {
	if i == 0 {
		return 0
	}
	return t.ends[i-1]
}

// at returns a text without copying it.
func (t *texts) at(i int) string { return t.all.String()[t.start(i):t.ends[i]] }

// insert makes room for an empty text.
func (t *texts) insert(i int) { t.ends = slices.Insert(t.ends, i, t.start(i)) }

// set replaces a text. It takes as long as copying all, but for the last one when
// it was empty.
func (t *texts) set(i int, text string) {
	start, end := t.start(i), t.ends[i]
	all := t.all.String()
	if all[start:end] == text {
		return
	}
	if int(start) < len(all) {
		t.all = strings.Builder{}
		t.all.Grow(len(all) - int(end-start) + len(text))
		t.all.WriteString(all[:start])
	}
	t.all.WriteString(text)
	if int(end) < len(all) {
		t.all.WriteString(all[end:])
	}
	for k := i; k < len(t.ends); k++ {
		t.ends[k] += uint32(len(text)) - (end - start)
	}
}

// remove drops a text.
func (t *texts) remove(i int) {
	t.set(i, "")
	t.ends = slices.Delete(t.ends, i, i+1)
}

// cut moves the texts from i on to high, which has none.
func (t *texts) cut(i int, high *texts) {
	all, at := t.all.String(), t.start(i)
	high.all.WriteString(all[at:])
	high.ends = upper(&t.ends, i)
	for k := range high.ends {
		high.ends[k] -= at
	}
	t.all = strings.Builder{}
	t.all.WriteString(all[:at])
}

// containing appends the places, from a given one on, of the texts that contain
// part, which is not empty.
func (t *texts) containing(part string, from int, places []uint16) []uint16 {
	all := t.all.String()
	for i := from; i < len(t.ends); {
		start := t.start(i)
		hit := strings.Index(all[start:], part)
		if hit < 0 {
			return places
		}
		begin := start + uint32(hit)
		for t.ends[i] <= begin {
			i++
		}
		if begin+uint32(len(part)) > t.ends[i] {
			i++ // it reaches into the next text: a later one does too
			continue
		}
		// Names are alike: the next ones often have it in the same place.
		offset := begin - t.start(i)
		for start = t.start(i); i < len(t.ends); i++ {
			begin, end := start+offset, start+offset+uint32(len(part))
			if end > t.ends[i] || all[begin:end] != part {
				break
			}
			places = append(places, uint16(i))
			start = t.ends[i]
		}
	}
	return places
}
