package registrar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"testudo/internal/atomicfile"
	"testudo/internal/enrolment"
)

// unwrittenPath is where a master that stops takes down which agents the database
// was not told the groups of. All else comes from client.keys.
const unwrittenPath = "queue/db/testudo-unwritten"

// unwritten is an agent in the list of unwrittenPath.
type unwritten struct {
	ID     string   `json:"id"`
	Groups []string `json:"groups"`
}

// loadUnwritten has wait again what waited when the process before stopped. The
// list counts once: groups may be changed from now on.
func (m *Master) loadUnwritten() {
	list, err := readUnwritten(m.cfg.Home)
	if err != nil {
		m.log.Warn("Groups that agents have enrolled with are not known any more.", slog.Any("err", err))
	}
	var changes []change
	for _, one := range list {
		e, there := m.cfg.Keys.ByID(one.ID)
		if !there || !m.rows.reserve(1) {
			continue
		}
		w := wanted{groups: one.Groups}
		if w.address, err = enrolment.ParseAddress(e.Address); err != nil {
			w.address.Bare = e.Address // as somebody else has written it
		}
		changes = append(changes, m.insertion(e, w))
	}
	m.rows.postpone(changes)
}

// readUnwritten reads the list and removes it; one that is not there is empty.
func readUnwritten(home *os.Root) (list []unwritten, err error) {
	data, err := home.ReadFile(unwrittenPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	return list, errors.Join(err, home.Remove(unwrittenPath))
}

// saveUnwritten takes down what the database has not been told, and says so.
func (m *Master) saveUnwritten() {
	waiting := m.rows.left()
	if len(waiting) == 0 {
		return
	}
	m.log.Warn("Changes of enrolment have not reached the agent database. They follow after the next start.", slog.Int("changes", len(waiting)))
	var list []unwritten
	for _, c := range waiting {
		if c.insert != nil && len(c.insert.Groups) > 0 {
			list = append(list, unwritten{c.entry.ID, c.insert.Groups})
		}
	}
	if len(list) == 0 {
		return
	}
	data, err := json.Marshal(list)
	if err == nil {
		err = atomicfile.Write(m.cfg.Home, unwrittenPath, append(data, '\n'), atomicfile.Options{
			Mode: heldMode, UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true,
		})
	}
	if err != nil {
		m.log.Error("The groups of agents that enrolled are lost.", slog.Any("err", fmt.Errorf("take down what waits: %w", err)))
	}
}
