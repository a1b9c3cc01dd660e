package managerapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"testudo/internal/atomicfile"
	"testudo/internal/config"
	"testudo/internal/fault"
)

// The daemon that checks a configuration looks at etc/ossec.conf and nowhere
// else. So a new one is tried there, and while it is, trialFile has the one before
// behind a line with the SHA-256 of the new one.
const trialFile = "etc/.testudo-ossec.conf"

// try puts a configuration in the place of the one before, and leaves it there
// only if it is found valid. Should the process die meanwhile, or the one before not
// be put back, EndTrial does that. Errors: fault.BackupFailed, ConfigWrite, those of validate.
func (a *API) try(ctx context.Context, text, before []byte) error {
	if err := atomicfile.Write(a.cfg.Home, trialFile, trialOf(text, before), a.owned(0o600)); err != nil {
		return fault.Wrap(fault.BackupFailed, nil, err)
	}
	err := a.writeConf(text)
	if err == nil {
		err = a.validate(ctx)
	}
	if err == nil {
		err = forgetTrial(a.cfg.Home) // before anybody is told that it is in force
	}
	if err == nil {
		return nil
	}
	if back := a.writeConf(before); back != nil { // then only trialFile has it
		return errors.Join(err, back)
	}
	return errors.Join(err, forgetTrial(a.cfg.Home))
}

func trialOf(text, before []byte) []byte {
	return append(append([]byte(digestOf(text)), '\n'), before...)
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Trial tells whether a configuration of the home at dir is being tried, or was
// when the process died.
func Trial(dir string) bool { return present(filepath.Join(dir, trialFile)) }

// EndTrial puts the configuration of the home at dir back that was there before
// one was tried, if nobody lived to see the outcome, and tells whether it did. A
// configuration that has been changed since stays. Nobody may be trying one.
func EndTrial(dir string) (undone bool, err error) {
	if !Trial(dir) {
		return false, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("end the trial of a configuration: %w", err)
		}
	}()
	home, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer home.Close()
	data, err := readFile(filepath.Join(dir, trialFile), mostConf+2*sha256.Size+1)
	if err != nil {
		return false, err
	}
	tried, before, ok := bytes.Cut(data, []byte("\n"))
	if !ok || len(tried) != 2*sha256.Size {
		return false, fmt.Errorf("%s has no configuration in it; remove it", trialFile)
	}
	now, err := readFile(filepath.Join(dir, config.ConfPath), mostConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if undone = digestOf(now) == string(tried); undone {
		owner := atomicfile.Options{UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true}
		if err := atomicfile.Write(home, config.ConfPath, before, owner); err != nil {
			return false, err
		}
	}
	return undone, forgetTrial(home)
}

// forgetTrial removes trialFile for good: it must not be there again after a
// power failure.
func forgetTrial(home *os.Root) error {
	if err := home.Remove(trialFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fault.Wrap(fault.ConfigWrite, nil, err)
	}
	dir, err := home.Open(path.Dir(trialFile))
	if err != nil {
		return fault.Wrap(fault.ConfigWrite, nil, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fault.Wrap(fault.ConfigWrite, nil, err)
	}
	return nil
}
