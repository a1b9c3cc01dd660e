package agentdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse is returned by Open when another process has the file. The original's
// database daemon writes without the locks that would keep two writers apart for
// long: it holds rows back for up to a minute.
var ErrInUse = errors.New("agent database is in use by another process: stop that, or set \"services.agentdb: external\" to be its client")

const (
	// socketName is the socket beside the file on which its owner answers.
	socketName = "wdb"

	lockMode = 0o640

	// probeTime bounds what is done to find another user of the file.
	probeTime = 2 * time.Second
)

// claim says that the file at path is this process's until release is called.
// The error is ErrInUse when another process has it, as far as can be seen: one
// of ours holds a lock, a server listens on the socket beside the file, or, on
// Linux, a process that we may look at has the file open.
func claim(ctx context.Context, path string) (release func() error, err error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	if err := inUse(ctx, path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock.Close, nil
}

// lockFile takes the lock that our processes hold on the database at path. The
// lock file stays: removing it would let two processes lock two files of one name.
func lockFile(path string) (*os.File, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, lockMode)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: %w", path, ErrInUse)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// inUse returns ErrInUse when a foreign process uses the database at path.
func inUse(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	socket := filepath.Join(filepath.Dir(path), socketName)
	if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket); err == nil {
		conn.Close()
		return fmt.Errorf("%s, served on %s: %w", path, socket, ErrInUse)
	}
	if who := holder(ctx, path); who != "" {
		return fmt.Errorf("%s, open in %s: %w", path, who, ErrInUse)
	}
	return nil
}
