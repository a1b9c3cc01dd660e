package integrity

import (
	"context"
	"sync"
	"time"

	"testudo/internal/manifest"
)

// Reader tells what is in a node's tree, for others than the exchange.
type Reader struct {
	tree Tree

	mu   sync.Mutex // held while the tree is read
	last lastScan
}

// NewReader returns a reader of the tree.
func NewReader(tree Tree) *Reader { return &Reader{tree: tree} }

// Manifest is what the tree holds now. It is read only when the watch has heard
// of something since the last time, or does not hear of everything.
func (r *Reader) Manifest(ctx context.Context) (*manifest.Manifest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.holds(r.tree, 0) {
		began := time.Now()
		scan, err := r.tree.Scan(ctx)
		if err != nil {
			return nil, err
		}
		r.last = lastScan{scan, began}
	}
	return r.last.scan.Manifest, nil
}
