package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// markPath is where a store keeps what client.keys does not say.
const markPath = "queue/db/testudo-keys"

// mark is what a store knows beyond client.keys.
type mark struct {
	Highest int  `json:"highest"` // number of an id that was given, at least what the file shows after a removal
	Open    bool `json:"open"`    // somebody has the keys open to write; left by one who died

	// Crashed is when the file had last been written when one who had it open died,
	// in seconds since 1970: left by a program that changed the keys after that and
	// could not look after those who got them before.
	Crashed int64 `json:"crashed,omitempty"`
}

// crash tells whether somebody died who had the keys open, and when the file had
// been written last then. Alone is that nobody has them open now.
func (m mark) crash(alone bool, modified time.Time) (time.Time, bool) {
	switch {
	case m.Crashed > 0:
		return time.Unix(m.Crashed, 0), true
	case m.Open && alone:
		return modified, true
	}
	return time.Time{}, false
}

// keepCrash has the mark tell of a crash after the file has been changed again.
func (o *Options) keepCrash(root *os.Root, alone bool) error {
	m, err := readMark(root)
	if err != nil || !m.Open || !alone || m.Crashed > 0 {
		return err
	}
	info, err := root.Stat(keysPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m.Crashed = info.ModTime().Unix()
	return o.writeMark(root, m)
}

// readMark reads the mark; one that is not there is empty.
func readMark(root *os.Root) (m mark, err error) {
	data, err := root.ReadFile(markPath)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("read the mark of client.keys: %w", err)
	}
	if err := json.Unmarshal(data, &m); err != nil || m.Highest < 0 || m.Highest > maxID {
		return mark{}, fmt.Errorf("%s has no mark of client.keys; remove it if it is damaged", markPath)
	}
	return m, nil
}

// writeMark makes a mark durable.
func (o *Options) writeMark(root *os.Root, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := o.replace(root, markPath, bytes.NewReader(append(data, '\n')), !o.NoSync); err != nil {
		return fmt.Errorf("write the mark of client.keys: %w", err)
	}
	return nil
}
