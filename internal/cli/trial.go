package cli

import (
	"errors"
	"path/filepath"

	"testudo/internal/config"
	"testudo/internal/home"
	"testudo/internal/managerapi"
)

// endTrial puts the configuration of a home back that a node had before it tried
// another one and died (docs/nodefunctions.md §3). It comes before a node reads
// its configuration; a home in which a node runs is left alone.
func endTrial(dir string) (told []config.Problem, err error) {
	if !managerapi.Trial(dir) {
		return nil, nil
	}
	lock, err := home.Lock(dir)
	if _, inUse := errors.AsType[*home.InUseError](err); inUse {
		return nil, nil // who starts a second node is told so
	} else if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	undone, err := managerapi.EndTrial(dir)
	if undone {
		told = []config.Problem{{
			Severity: config.SeverityWarning, File: filepath.Join(dir, config.ConfPath),
			Text: "The last node ended while it tried a new configuration. The one before is back; make the change again.",
		}}
	}
	return told, err
}
