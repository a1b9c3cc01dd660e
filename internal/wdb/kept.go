package wdb

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// keptBytes bounds the chunks of one kind that wait for their confirmation.
const keptBytes = 64 << 20

// errStuck is returned when the database has an agent whose record is larger than
// a page, so that it never gets past it (docs/agentdb.md §7.3).
var errStuck = errors.New("the database has an agent whose record does not fit a page: shorten its labels")

// kept are chunks that a database has handed over and marked as delivered. They
// are delivered again, before newer ones, until somebody has confirmed them.
type kept struct {
	limit int

	mu     sync.Mutex
	chunks []keptChunk // oldest first
	bytes  int
	last   uint64 // number of the newest
	warned bool   // that there is no room
}

type keptChunk struct {
	number uint64
	text   []byte
	agents int
}

func newKept() kept { return kept{limit: keptBytes} }

// add keeps a chunk. One without agents, which has a hash, takes the place of
// those before.
func (k *kept) add(text []byte, agents int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if agents == 0 {
		k.chunks = slices.DeleteFunc(k.chunks, func(c keptChunk) bool {
			if c.agents == 0 {
				k.bytes -= len(c.text)
			}
			return c.agents == 0
		})
	}
	k.last++
	k.chunks = append(k.chunks, keptChunk{k.last, text, agents})
	k.bytes += len(text)
}

// size is how many agents wait, and whether there is no room for more. first says
// that there was room the last time.
func (k *kept) size() (agents int, full, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.chunks {
		agents += c.agents
	}
	full = k.bytes+replyBytes > k.limit
	first = full && !k.warned
	k.warned = full
	return agents, full, first
}

// deliver returns the oldest chunks, as many as hold most agents, or all for 0,
// and what is called when they have arrived.
func (k *kept) deliver(most int) (texts [][]byte, more bool, confirm func(context.Context) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var upTo uint64
	agents := 0
	for _, c := range k.chunks {
		if most > 0 && agents >= most {
			more = true
			break
		}
		agents += c.agents
		texts = append(texts, c.text)
		upTo = c.number
	}
	return texts, more, func(context.Context) error {
		k.drop(upTo)
		return nil
	}
}

// drop forgets the chunks up to a number.
func (k *kept) drop(upTo uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for n < len(k.chunks) && k.chunks[n].number <= upTo {
		k.bytes -= len(k.chunks[n].text)
		n++
	}
	k.chunks = append(k.chunks[:0:0], k.chunks[n:]...)
}
