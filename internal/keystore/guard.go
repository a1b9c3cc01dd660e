package keystore

import (
	"context"
	"errors"
	"os"
	"path"
	"syscall"

	"testudo/internal/agent"
)

// Guard is the lock of a home's keys, for a program that writes client.keys itself
// in the place of a Store. Whoever has a Store open reads the file anew after it.
type Guard struct {
	root    *os.Root
	o       Options
	release func()

	// Open tells whether a process of ours, such as a node at which agents enrol,
	// had the keys open when the lock was got.
	Open bool
}

// Lock takes the lock of the keys of the home at root. Another program has it for
// moments only; after ten seconds it is ErrLocked.
func Lock(ctx context.Context, root *os.Root) (*Guard, error) {
	o := Options{}.withDefaults()
	o.UID, o.GID = keeper(root)
	release, err := o.lock(ctx, root)
	if err != nil {
		return nil, err
	}
	p, alone, err := o.present(root)
	if err != nil {
		release()
		return nil, err
	}
	if err := errors.Join(o.keepCrash(root, alone), p.f.Close()); err != nil {
		release()
		return nil, err
	}
	return &Guard{root: root, o: o, release: release, Open: !alone}, nil
}

// keeper is the account whose keys these are, for what root makes; 0 for others,
// who cannot give files away.
func keeper(root *os.Root) (uid, gid int) {
	info, err := root.Stat(path.Dir(keysPath))
	if err != nil || os.Geteuid() != 0 {
		return 0, 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return 0, 0
}

// Highest is the highest id that was ever given, as far as client.keys need not
// show it: its agent may be gone without trace.
func (g *Guard) Highest() (agent.ID, error) {
	m, err := readMark(g.root)
	return agent.ID(m.Highest), err
}

// Given takes down that ids up to this one are given, before the file is changed.
func (g *Guard) Given(highest agent.ID) error {
	m, err := readMark(g.root)
	if err != nil || int(highest) <= m.Highest {
		return err
	}
	m.Highest = int(highest)
	return g.o.writeMark(g.root, m)
}

// Release gives the lock back.
func (g *Guard) Release() { g.release() }
