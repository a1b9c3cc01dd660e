package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// markPath is where a store keeps what client.keys does not say.
const markPath = "queue/db/testudo-keys"

// mark is what a store knows beyond client.keys.
type mark struct {
	Highest int  `json:"highest"` // number of an id that was given, at least what the file shows after a removal
	Open    bool `json:"open"`    // somebody has the keys open to write; left by one who died
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
