//go:build unix

package home

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hold is a lock on a home. It ends with Release, and with the process in any
// case.
type Hold struct{ file *os.File }

// Lock makes sure that only one node runs in a home: the first has the lock, any
// other gets a *InUseError. The file of the lock stays; it names the last holder.
func Lock(dir string) (*Hold, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	defer root.Close()
	if _, err := makeDirectories(root, leadingTo(RunDir)); err != nil {
		return nil, err
	}
	file, err := root.OpenFile(LockPath, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	if err := lock(file); err != nil {
		pid := holder(file)
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{Home: dir, PID: pid}
		}
		return nil, fmt.Errorf("lock home: %w", err)
	}
	if err := sign(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock home: %w", err)
	}
	return &Hold{file}, nil
}

func lock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}

// holder reads who has the lock, 0 when the file does not say.
func holder(file *os.File) int {
	text, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// sign writes our pid into the file, which the account must be able to open
// when it is its turn.
func sign(file *os.File) error {
	if uid, gid := currentOwner().ids(true); gid >= 0 {
		if err := file.Chown(uid, gid); err != nil {
			return err
		}
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Release gives the lock back.
func (h *Hold) Release() error {
	if err := h.file.Close(); err != nil {
		return fmt.Errorf("unlock home: %w", err)
	}
	return nil
}
