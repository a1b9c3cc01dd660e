// Package integrity keeps the synchronised files of a cluster equal: the
// master's tree is what should be, each worker compares its own with it, and
// gets the difference (docs/integrity.md).
//
// master.go and worker.go are the two ends of the conversation; read side by
// side they tell all of it. local.go is the master's view of its own tree,
// shrink.go the guard that holds back what looks like an accident.
package integrity

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/filetree"
)

// Commands of the exchange. Those that begin with t_ are spoken between
// Testudo nodes only (docs/extensions.md).
const (
	cmdPermission = "syn_i_w_m_p"
	cmdCheck      = "syn_i_w_m"
	cmdInStep     = "syn_m_c_ok"
	cmdSync       = "syn_m_c"
	cmdDigest     = "t_in_step"
	cmdChanged    = "t_changed"
	cmdFailed     = "t_failed"
)

// Subtags of the log lines.
const (
	taskCheck = "Integrity check"
	taskSync  = "Integrity sync"
	taskLocal = "Local integrity"
)

// Tree is the node's synchronised files on disk.
type Tree interface {
	Scan(ctx context.Context) (*filetree.Scan, error)
	Watch(ctx context.Context, changed chan<- struct{}) error
	Quiet(since time.Time) bool
	OpenFile(path string) (io.ReadCloser, error)
	NewStage(dir string) (*filetree.Stage, error)
}

// States takes down what each node has of each file.
type States interface {
	Set(node string, rows iter.Seq[filestate.Row])
	SetNode(filestate.NodeState)
	Epoch() uint64 // changes when all that was taken down is lost
}

// settle is how long a tree must be left alone by the watch before it is read,
// so that a hundred files copied at once are one change.
const settle = 50 * time.Millisecond

// restless is how long a tree that is never left alone is not read, as when many
// agents enrol.
const restless = 2 * time.Second

// trusted is how old a scan may be while all directories are watched, the watch
// has heard nothing, and the scan found nothing that a watch would not hear of.
// What changes unheard of all the same (a mapped file, something mounted over a
// directory) is found after this time.
const trusted = time.Minute

// lastScan is what a tree's last scan found.
type lastScan struct {
	scan *filetree.Scan
	at   time.Time // when it was begun
}

// holds says whether the scan is as good as a new one, for reuse: nothing has
// been heard of since, and it is younger than age, or, when a watch hears of
// everything, than trusted.
func (l lastScan) holds(tree Tree, age time.Duration) bool {
	if l.scan == nil {
		return false
	}
	if l.scan.Steady {
		age = max(age, trusted)
	}
	return time.Since(l.at) < age && tree.Quiet(l.at)
}

// rest keeps a tree from being read again and again while it changes all the time,
// as a large client.keys when many agents enrol: what is read goes to every node.
type rest struct{ until atomic.Int64 } // nanoseconds since 1970

const (
	// restBytes is how much changed content is read in a second because of the watch.
	restBytes = 16 << 20
	// restMost is how long the watch is not listened to at most.
	restMost = time.Second
)

// after says how much there was to read, just now.
func (r *rest) after(bytes int64) {
	d := min(time.Duration(float64(bytes)/restBytes*float64(time.Second)), restMost)
	r.until.Store(time.Now().Add(d).UnixNano())
}

// left is how long a change has to wait.
func (r *rest) left() time.Duration { return time.Duration(r.until.Load() - time.Now().UnixNano()) }

// follow forwards the tree's changes to wake until ctx ends.
func follow(ctx context.Context, tree Tree, rest *rest, wake chan<- struct{}) error {
	changed := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- tree.Watch(ctx, changed) }()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	var first time.Time // of the changes that have not been told
	for {
		select {
		case <-changed:
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, rest.left(), min(settle, restless-time.Since(first))))
		case <-quiet.C:
			first = time.Time{}
			poke(wake)
		case err := <-done:
			return err
		}
	}
}

// poke leaves a note in a channel of capacity one.
func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
