package registrar

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"testudo/internal/atomicfile"
	"testudo/internal/keystore"
)

const (
	// heldPath is where a master that stops takes down what it holds.
	heldPath = "queue/db/testudo-held"
	heldMode = 0o640

	// doubtTime is how far before the last write of a process that did not end as it
	// should an entry may have been made whose agent has no answer.
	doubtTime = time.Minute
	// clockTime is how much later than that write an entry may say it was made:
	// times of files and of entries are not told by the same clock. What is later
	// still was added since, by somebody who has the answer.
	clockTime = 2 * time.Second
)

// leftHeld is one registration in the list that heldPath has.
type leftHeld struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// loadHeld holds again what the process before has left, for the rest of its hour.
// The list stays until the next end: this process may have none as it should be.
func (m *Master) loadHeld() {
	left, err := readHeld(m.cfg.Home)
	if err != nil {
		m.log.Warn("It is not known whose keys had not arrived at the last stop; these agents may be refused.", slog.Any("err", err))
	}
	settled := time.Now().Add(-settleTime) // nobody hands over these keys any more
	for _, one := range left {
		if e, there := m.cfg.Keys.ByID(one.ID); there {
			m.held.hold(e, earlier(one.Since, settled))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// holdDoubtful holds what was enrolled just before a process ended that did not
// end as it should.
func (m *Master) holdDoubtful() {
	modified, unclean := m.cfg.Keys.Unclean()
	if !unclean {
		return
	}
	settled := time.Now().Add(-settleTime)
	m.cfg.Keys.Each(func(e keystore.Entry) bool {
		if !e.Added.IsZero() && !e.Added.Before(modified.Add(-doubtTime)) && !e.Added.After(modified.Add(clockTime)) {
			m.held.hold(e, settled)
		}
		return true
	})
}

// readHeld reads what was left; a file that is not there is an empty list.
func readHeld(home *os.Root) (left []leftHeld, err error) {
	data, err := home.ReadFile(heldPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return left, json.Unmarshal(data, &left)
}

// saveHeld takes down what is held. It comes when nobody asks any more.
func (m *Master) saveHeld() {
	left := m.held.left()
	if len(left) == 0 {
		if err := m.cfg.Home.Remove(heldPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.log.Warn("What was held at an earlier stop stays noted.", slog.Any("err", err))
		}
		return
	}
	data, err := json.Marshal(left)
	if err == nil {
		err = atomicfile.Write(m.cfg.Home, heldPath, append(data, '\n'), atomicfile.Options{
			Mode: heldMode, UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true,
		})
	}
	if err != nil {
		m.log.Warn("It could not be taken down whose keys have not arrived; these agents may be refused after the next start.", slog.Any("err", err))
	}
}
