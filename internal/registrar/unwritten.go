package registrar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"testudo/internal/atomicfile"
	"testudo/internal/enrolment"
	"testudo/internal/logging"
)

// unwrittenPath is where a master takes down which agents the database was not
// told the groups of. All else comes from client.keys.
const unwrittenPath = "queue/db/testudo-unwritten"

// unwritten is an agent in a list of unwrittenPath; one without groups takes back
// what an earlier list says of it.
type unwritten struct {
	ID     string   `json:"id"`
	Groups []string `json:"groups"`
}

// journal is unwrittenPath: lists, each on its line, which a process that is
// killed leaves behind.
type journal struct {
	home *os.Root
	log  *slog.Logger

	mu      sync.Mutex // taken before rows.mu
	used    bool       // there may be a file
	behind  bool       // it is not what waits: something could not be written
	failing logging.Recurring
}

// groupsOf gives the groups that changes give agents.
func groupsOf(changes []change) (list []unwritten) {
	for _, c := range changes {
		one := unwritten{ID: c.entry.ID}
		if c.insert != nil {
			one.Groups = c.insert.Groups
		}
		list = append(list, one)
	}
	return list
}

// add has changes begin to wait, and takes them down before keep can be asked for
// what is left of them; all is everything that waits. It does not wait for the disk.
func (j *journal) add(changes []change, begin func(), all func() []change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	begin()
	j.used = true
	if j.behind {
		j.keepLocked(all(), false)
		return
	}
	data, err := json.Marshal(groupsOf(changes))
	if err == nil {
		err = j.append(append(data, '\n'))
	}
	j.noteLocked(err)
}

// append adds a list to the file, or leaves that as it was.
func (j *journal) append(data []byte) error {
	f, err := j.home.OpenFile(unwrittenPath, os.O_WRONLY|os.O_APPEND|os.O_CREATE, heldMode)
	if err != nil {
		return err
	}
	before, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err = f.Write(data); err != nil {
		// Nobody can read what comes behind half a list.
		err = errors.Join(err, f.Truncate(before.Size()))
	}
	return errors.Join(err, f.Close())
}

func (j *journal) noteLocked(err error) {
	j.behind = err != nil
	if err != nil {
		j.failing.Fail(j.log, slog.LevelWarn, "The groups that agents enrol with cannot be taken down. They are lost if this node is killed before the agent database is back.",
			slog.Any("err", err))
		return
	}
	j.failing.Recovered(j.log, "The groups that agents enrol with are taken down again.")
}

// keep has only what still waits stand there.
func (j *journal) keep(waiting func() []change, sync bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.used {
		j.keepLocked(waiting(), sync)
	}
}

func (j *journal) keepLocked(waiting []change, sync bool) {
	list := groupsLeft(waiting)
	if len(list) == 0 {
		err := j.home.Remove(unwrittenPath)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		j.used = err != nil
		j.noteLocked(err)
		return
	}
	data, err := json.Marshal(list)
	if err == nil {
		err = atomicfile.Write(j.home, unwrittenPath, append(data, '\n'), atomicfile.Options{
			Mode: heldMode, UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: sync,
		})
	}
	j.noteLocked(err)
}

// groupsLeft gives each agent's groups after all changes, where it has any.
func groupsLeft(changes []change) (list []unwritten) {
	all := groupsOf(changes)
	last := make(map[string]int, len(all))
	for i, one := range all {
		last[one.ID] = i
	}
	for i, one := range all {
		if last[one.ID] == i && len(one.Groups) > 0 {
			list = append(list, one)
		}
	}
	return list
}

// read reads the lists: what the last one says of an agent counts. A file that is
// not there is empty; of one that is damaged there is what comes before.
func (j *journal) read() (list []unwritten, err error) {
	f, err := j.home.Open(unwrittenPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	j.used = true
	if err != nil {
		return nil, err
	}
	defer f.Close()
	places := map[string]int{}
	for in := json.NewDecoder(f); err == nil; {
		var some []unwritten
		if err = in.Decode(&some); err != nil {
			break
		}
		for _, one := range some {
			at, known := places[one.ID]
			if !known {
				at = len(list)
				places[one.ID], list = at, append(list, one)
			}
			list[at] = one
		}
	}
	if !errors.Is(err, io.EOF) {
		j.behind = true
		return list, fmt.Errorf("%s: %w", unwrittenPath, err)
	}
	return list, nil
}

// loadUnwritten has wait again what waited when the process before ended.
func (m *Master) loadUnwritten() {
	list, err := m.rows.journal.read()
	if err != nil {
		m.log.Warn("Groups that agents have enrolled with are not known any more.", slog.Any("err", err))
	}
	var changes []change
	for _, one := range list {
		e, there := m.cfg.Keys.ByID(one.ID)
		if len(one.Groups) == 0 || !there || !m.rows.reserve(1) {
			continue
		}
		w := wanted{groups: one.Groups}
		if w.address, err = enrolment.ParseAddress(e.Address); err != nil {
			w.address.Bare = e.Address // as somebody else has written it
		}
		changes = append(changes, m.insertion(e, w))
	}
	m.rows.postpone(changes)
	m.rows.journal.keep(m.rows.left, false)
}

// saveUnwritten makes durable what the database has not been told, and says so.
func (m *Master) saveUnwritten() {
	if waiting := m.rows.left(); len(waiting) > 0 {
		m.log.Warn("Changes of enrolment have not reached the agent database. They follow after the next start.", slog.Int("changes", len(waiting)))
	}
	m.rows.journal.keep(m.rows.left, true)
}
