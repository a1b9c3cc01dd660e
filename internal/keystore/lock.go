package keystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockPath is held around reading and writing, by every program of ours that
	// changes client.keys.
	lockPath = "var/run/testudo-keys.lock"
	// openPath is held, shared, by whoever has the keys open: who gets it alone
	// knows that a mark left open is of a process that died.
	openPath = "var/run/testudo-keys.open"

	lockTurn = 5 * time.Millisecond // between two attempts to get the lock
	lockTime = 10 * time.Second     // after that we give up
)

// ErrLocked is returned when another program holds the lock of the keys for too
// long.
var ErrLocked = errors.New("another program holds the lock of client.keys")

// lockFile opens a file to lock, which is made if need be.
func (o *Options) lockFile(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|os.O_CREATE, newMode)
	if err != nil || o.UID <= 0 {
		return f, err
	}
	if err := f.Chown(o.UID, max(o.GID, -1)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// flock takes or changes a lock without waiting; false when others are in the
// way.
func flock(f *os.File, how int) (bool, error) {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return true, nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return false, nil
		default:
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// lock takes the lock of the keys of a home.
func (o *Options) lock(ctx context.Context, root *os.Root) (release func(), err error) {
	f, err := o.lockFile(root, lockPath)
	if err != nil {
		return nil, fmt.Errorf("lock client.keys: %w", err)
	}
	for began := time.Now(); ; {
		held, err := flock(f, unix.LOCK_EX)
		if err == nil && !held && time.Since(began) > lockTime {
			err = ErrLocked
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock client.keys: %w", err)
		}
		if held {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(lockTurn):
		}
	}
}

// presence says that we have the keys open. Alone tells whether nobody else has;
// it is asked under the lock of the keys.
type presence struct{ f *os.File }

func (o *Options) present(root *os.Root) (p presence, alone bool, err error) {
	f, err := o.lockFile(root, openPath)
	if err != nil {
		return p, false, fmt.Errorf("open client.keys: %w", err)
	}
	p = presence{f}
	if alone, err = p.alone(); err != nil {
		f.Close()
		return p, false, fmt.Errorf("open client.keys: %w", err)
	}
	return p, alone, nil
}

func (p presence) alone() (bool, error) {
	alone, err := flock(p.f, unix.LOCK_EX)
	if err != nil {
		return false, err
	}
	_, err = flock(p.f, unix.LOCK_SH)
	return alone, err
}
