package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"testudo/internal/agent"
)

const (
	keysPath = "etc/client.keys"
	// maxKeys bounds the file: 4 million lines of usual length.
	maxKeys = 1 << 30
)

// keysFile is what is remembered of client.keys from one round to the next.
type keysFile struct {
	info fs.FileInfo // nil: it was not there
}

// doubt says what about a client.keys looks like an accident.
type doubt int

const (
	noDoubt doubt = iota
	broken        // it has lines that are none, or stops in the middle of one
	empty         // it has no agent
	absent        // it is not there
)

// keyring is a client.keys that has been read.
type keyring struct {
	keys     map[agent.ID]agent.Key // of agents that are not removed, without agent 0
	names    map[string]bool        // theirs
	doubt    doubt
	badLines []agent.LineError
}

// same tells whether two looks at a file saw the same one.
func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readKeys reads client.keys. One that is not there has no keys.
func readKeys(home *os.Root) (ring *keyring, info fs.FileInfo, err error) {
	ring = &keyring{keys: map[agent.ID]agent.Key{}, names: map[string]bool{}, doubt: absent}
	f, err := home.OpenFile(keysPath, os.O_RDONLY|syscall.O_NONBLOCK, 0)
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
	keys, bad, err := agent.ReadKeys(io.TeeReader(f, &last), agent.KeyLimits{})
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", keysPath, err)
	}
	ring.take(keys, bad, last)
	return ring, info, nil
}

func (r *keyring) take(keys []agent.Key, bad []agent.LineError, last lastByte) {
	r.badLines = bad
	for _, k := range keys {
		if k.Removed || k.ID == agent.Manager {
			continue
		}
		// The database has room for one of "7" and "007": the first.
		if _, again := r.keys[k.ID]; !again {
			r.keys[k.ID] = k
			r.names[k.Name] = true
		}
	}
	switch {
	case len(r.keys) == 0:
		r.doubt = empty
	case len(bad) > 0 || last.b != '\n':
		r.doubt = broken
	default:
		r.doubt = noDoubt
	}
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
