package nodekeys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"testudo/internal/agent"
	"testudo/internal/home"
)

// Each hands over the keys of a home in the order of its file, removed agents'
// among them. Lines that cannot be read are passed over and told of, by number.
// A home without the file has no keys.
func Each(dir string, take func(agent.Key)) (bad []agent.LineError, err error) {
	file, err := os.Open(filepath.Join(dir, home.KeysPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	defer file.Close()
	if bad, err = agent.ReadKeys(file, agent.KeyLimits{}, take); err != nil {
		return bad, fmt.Errorf("read the keys of %s: %w", dir, err)
	}
	return bad, nil
}

// ErrUnknown is returned for an agent that has no key.
var ErrUnknown = errors.New("there is no such agent")

// Find gives the key of one agent that is not removed. The id is looked for as it
// is written; when no line has it so, a number with other leading zeros counts,
// if there is one only: 7 finds 007.
func Find(dir, id string) (agent.Key, error) {
	number, err := agent.ParseID(id)
	if err != nil {
		return agent.Key{}, fmt.Errorf("%.20q: %w", id, err)
	}
	var exact, same []agent.Key
	_, err = Each(dir, func(k agent.Key) {
		switch {
		case k.Removed:
		case k.Text == id:
			exact = append(exact, k)
		case k.ID == number:
			same = append(same, k)
		}
	})
	switch {
	case err != nil:
		return agent.Key{}, err
	case len(exact) > 0:
		return exact[0], nil
	case len(same) == 1:
		return same[0], nil
	case len(same) > 1:
		return agent.Key{}, fmt.Errorf("agent %s: several have this number; write it as the list shows it", id)
	}
	return agent.Key{}, fmt.Errorf("agent %s: %w", id, ErrUnknown)
}
