package registrar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"testudo/internal/atomicfile"
)

const (
	// heldPath is where a master that ends leaves the ids that are held, for its
	// next start.
	heldPath = "queue/db/testudo-held"
	heldMode = 0o640
)

// leftHeld is what heldPath holds.
type leftHeld struct {
	Held []string `json:"held"` // ids
}

// saveHeld leaves what is held. It comes when nobody asks any more.
func (m *Master) saveHeld() {
	ids := m.held.ids()
	err := remove(m.cfg.Home, heldPath)
	if len(ids) > 0 {
		var data []byte
		if data, err = json.Marshal(leftHeld{ids}); err == nil {
			err = atomicfile.Write(m.cfg.Home, heldPath, append(data, '\n'),
				atomicfile.Options{Mode: heldMode, UID: atomicfile.Keep, GID: atomicfile.Keep})
		}
	}
	if err != nil {
		m.log.Warn("Which agents may not have got their keys is forgotten with this end.", slog.Any("err", err))
	}
}

// loadHeld holds again what the one before has left.
func (m *Master) loadHeld() {
	left, err := readHeld(m.cfg.Home)
	if err != nil {
		m.log.Warn("Which agents may not have got their keys before the last end is not known.", slog.Any("err", err))
	}
	since := time.Now().Add(-settleTime)
	for _, id := range left.Held {
		if entry, there := m.cfg.Keys.ByID(id); there {
			m.held.hold(entry, since)
		}
	}
}

// readHeld reads what was left, which counts once.
func readHeld(home *os.Root) (left leftHeld, err error) {
	data, err := home.ReadFile(heldPath)
	if errors.Is(err, fs.ErrNotExist) {
		return left, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &left)
	}
	if err != nil {
		err = fmt.Errorf("read %s: %w", heldPath, err)
	}
	return left, errors.Join(err, remove(home, heldPath))
}

func remove(home *os.Root, name string) error {
	if err := home.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ids are those of what is held, the oldest first.
func (h *holding) ids() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireLocked()
	ids := make([]string, 0, h.order.Len())
	for e := h.order.Front(); e != nil; e = e.Next() {
		ids = append(ids, e.Value.(*held).entry.ID)
	}
	return ids
}
