package registrar

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
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
)

// heldFile is the content of heldPath.
type heldFile struct {
	IDs []string `json:"ids"`
}

// holdAgain holds what was held when the process before stopped or, when it did
// not end as it should, what was enrolled just before.
func (m *Master) holdAgain() {
	since := time.Now().Add(-settleTime) // nobody hands over these keys any more
	for _, id := range m.takeHeldFile() {
		if e, there := m.cfg.Keys.ByID(id); there {
			m.held.hold(e, since)
		}
	}
	modified, unclean := m.cfg.Keys.Unclean()
	if !unclean {
		return
	}
	m.cfg.Keys.Each(func(e keystore.Entry) bool {
		if !e.Added.IsZero() && !e.Added.Before(modified.Add(-doubtTime)) {
			m.held.hold(e, since)
		}
		return true
	})
}

// takeHeldFile reads what was taken down, which counts once.
func (m *Master) takeHeldFile() []string {
	data, err := m.cfg.Home.ReadFile(heldPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var file heldFile
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	err = errors.Join(err, m.cfg.Home.Remove(heldPath))
	if err != nil {
		m.log.Warn("It is not known whose keys had not arrived at the last stop; these agents may be refused.", slog.Any("err", err))
	}
	return file.IDs
}

// saveHeld takes down what is held.
func (m *Master) saveHeld() {
	file := heldFile{IDs: m.held.ids()}
	if len(file.IDs) == 0 {
		return
	}
	data, err := json.Marshal(file)
	if err == nil {
		err = atomicfile.Write(m.cfg.Home, heldPath, append(data, '\n'), atomicfile.Options{
			Mode: heldMode, UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true,
		})
	}
	if err != nil {
		m.log.Warn("It could not be taken down whose keys have not arrived; these agents may be refused after the next start.", slog.Any("err", err))
	}
}
