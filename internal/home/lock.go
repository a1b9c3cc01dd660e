//go:build unix

package home

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"testudo/internal/config"
)

// Hold is a lock on a home. It ends with Release, and with the process in any
// case.
type Hold struct{ file *os.File }

// Lock makes sure that only one node runs in a home: the first has the lock, any
// other gets a *InUseError. The file of the lock stays; it names the last holder.
func Lock(dir string) (*Hold, error) { return LockAs(dir, "") }

// LockAs is Lock, and lets others see as which program the node was started,
// where that says what it does (StartedAs). Empty is our own.
func LockAs(dir, program string) (*Hold, error) {
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
		pid, as := holder(file)
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{Home: dir, PID: pid, As: as}
		}
		return nil, fmt.Errorf("lock home: %w", err)
	}
	if err := sign(file, program); err != nil {
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

// StartedAs is the program as which the last node of a home was started; empty
// for our own, and when nobody knows.
func StartedAs(dir string) string {
	file, err := os.Open(filepath.Join(dir, LockPath))
	if err != nil {
		return ""
	}
	defer file.Close()
	_, as := holder(file)
	return as
}

// ReadConfig reads the configuration as a node does that was started as a program
// (StartedAs): as the original's daemon it leaves to the other daemons what its
// settings do not give to it.
func ReadConfig(dir, as string) (*config.Config, []config.Problem) {
	o := config.LoadOptions{Home: dir}
	if as == Daemon {
		o.AgentDB, o.Enrolment = config.External, config.External
	}
	return config.Load(o)
}

// holder reads who has the lock: 0 when the file does not say.
func holder(file *os.File) (pid int, as string) {
	text, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return 0, ""
	}
	number, as, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if pid, err = strconv.Atoi(number); err != nil {
		return 0, ""
	}
	return pid, as
}

// sign writes our pid into the file, which the account must be able to open
// when it is its turn.
func sign(file *os.File, as string) error {
	if uid, gid := currentOwner().ids(true); gid >= 0 {
		if err := file.Chown(uid, gid); err != nil {
			return err
		}
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strings.TrimSpace(strconv.Itoa(os.Getpid())+" "+as)+"\n"), 0)
	return err
}

// Release gives the lock back.
func (h *Hold) Release() error {
	if err := h.file.Close(); err != nil {
		return fmt.Errorf("unlock home: %w", err)
	}
	return nil
}
