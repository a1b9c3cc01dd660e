package reconcile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"testudo/internal/agent"
	"testudo/internal/filetree"
)

const (
	keysPath = "etc/client.keys"
	// maxKeys bounds the file: 4 million lines of usual length.
	maxKeys = 1 << 30
	// mostBad is how many lines that are none are counted.
	mostBad = 100
)

// keysFile is what is remembered of client.keys from one round to the next.
type keysFile struct {
	info fs.FileInfo // nil: it was not there
}

// doubt says what about a client.keys looks like an accident.
type doubt int

const (
	noDoubt doubt = iota
	broken        // it has more lines that are none than when all was well, or stops in the middle of one
	empty         // it has no agent
	absent        // it is not there
)

// row is an agent of the database.
type row struct {
	id    agent.ID
	keyed bool // client.keys has it
	name  string
}

// rows are all of them, by id. A list takes a fraction of the memory of a map, and
// this is done at a time when a node has enough to do.
type rows []row

func (l rows) find(id agent.ID) *row {
	i, found := slices.BinarySearchFunc(l, id, func(r row, id agent.ID) int { return cmp.Compare(r.id, id) })
	if !found {
		return nil
	}
	return &l[i]
}

// keyring is what client.keys says that the rows of the database do not.
type keyring struct {
	missing  map[agent.ID]agent.Key // keys without row
	renamed  map[agent.ID]string    // the names of keys whose row has another
	all      settled                // of agents that are not removed, without agent 0
	doubt    doubt
	badLines []agent.LineError
}

// same tells whether two looks at a file saw the same one.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return false
	}
	// A file may be written in place, and its time put back.
	_, changedA := filetree.Identity(a)
	_, changedB := filetree.Identity(b)
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changedA == changedB
}

// readKeys compares client.keys with the rows, of which it marks those that it
// has. A file that is not there has no keys.
func (r *Reconciler) readKeys(known rows) (ring *keyring, info fs.FileInfo, err error) {
	ring = &keyring{missing: map[agent.ID]agent.Key{}, renamed: map[agent.ID]string{}, doubt: absent}
	f, err := r.cfg.Home.OpenFile(keysPath, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ring, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeys {
		return nil, nil, fmt.Errorf("%s is no file of at most %d bytes", keysPath, maxKeys)
	}
	var last lastByte
	ring.badLines, err = agent.ReadKeys(io.TeeReader(f, &last), agent.KeyLimits{Bad: mostBad}, func(k agent.Key) {
		if !k.Removed && k.ID != agent.Manager && ring.take(known, k) {
			r.add(&ring.all, k.ID, k.Name)
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", keysPath, err)
	}
	switch {
	case ring.all.count == 0:
		ring.doubt = empty
	case len(ring.badLines) > min(r.badBefore, mostBad-1) || last.b != '\n':
		ring.doubt = broken
	default:
		ring.doubt = noDoubt
	}
	return ring, info, nil
}

// take takes in a key and says whether it counts: the database has room for one of
// "7" and "007", the first.
func (r *keyring) take(known rows, k agent.Key) bool {
	switch at := known.find(k.ID); {
	case at == nil:
		if _, again := r.missing[k.ID]; again {
			return false
		}
		r.missing[k.ID] = k
	case at.keyed:
		return false
	default:
		at.keyed = true
		if at.name != k.Name {
			r.renamed[k.ID] = k.Name
		}
	}
	return true
}

// inUse gives those of the names that agents with a key have.
func (r *keyring) inUse(known rows, names map[string]bool) map[string]bool {
	used := map[string]bool{}
	for i := range known {
		if at := &known[i]; at.keyed && names[at.name] && r.renamed[at.id] == "" {
			used[at.name] = true
		}
	}
	for _, name := range r.renamed {
		used[name] = names[name]
	}
	for _, k := range r.missing {
		used[k.Name] = names[k.Name]
	}
	return used
}

// lastByte remembers the last byte written to it.
type lastByte struct{ b byte }

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.b = p[len(p)-1]
	}
	return len(p), nil
}

const timestampsPath = "queue/agents-timestamp"

// maxTimestamps bounds the file of the times of enrolment.
const maxTimestamps = 256 << 20

// readTimestamps gives the times of enrolment, in seconds of the epoch, from
// lines "ID NAME ADDRESS YYYY-MM-DD HH:MM:SS" in local time. Only enrolment
// writes the file: a worker mostly has none, and lines that are none are passed
// over.
func readTimestamps(home *os.Root) map[agent.ID]int64 {
	info, err := home.Stat(timestampsPath)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxTimestamps {
		return nil
	}
	data, err := home.ReadFile(timestampsPath)
	if err != nil {
		return nil
	}
	return parseTimestamps(data)
}

func parseTimestamps(data []byte) map[agent.ID]int64 {
	times := map[agent.ID]int64{}
	for line := range bytes.Lines(data) {
		words := bytes.Fields(line)
		if len(words) != 5 {
			continue
		}
		id, err := agent.ParseID(string(words[0]))
		if err != nil {
			continue
		}
		at, err := time.ParseInLocation(time.DateTime, string(words[3])+" "+string(words[4]), time.Local)
		if err == nil && at.Unix() > 0 {
			times[id] = at.Unix()
		}
	}
	return times
}
