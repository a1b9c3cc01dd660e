package integrity

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"testudo/internal/atomicfile"
	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/manifest"
	"testudo/internal/metrics"
)

const (
	condShrink     = "shrink-held"
	condUnreadable = "files-unreadable"

	keysFile = "etc/client.keys"
)

// shrinkGuard keeps an accident on the master (an unmounted volume, a script
// gone wrong) from emptying every worker. It compares each new state with the
// last accepted one, which it keeps on disk, and holds a state back that lost
// more than the ratio of its files, or the agents' keys, at once.
type shrinkGuard struct {
	enabled bool
	ratio   float64
	home    *os.Root
	file    string // where the accepted state is kept, relative to the home
	decided func(ctx context.Context) (bool, error)
	tell    func(ctx context.Context, h *filestate.Held) error // may be nil
	// keysRemoved says that no agent has a key since all were removed as they
	// should be; may be nil.
	keysRemoved func() bool

	log     *slog.Logger
	health  *health.Board
	metrics *metrics.Set

	accepted *manifest.Manifest
	keysLost bool // held for the agents' keys
	saved    manifest.Digest
	told     *string // what tell was last told: why, "" for nothing held
	held     logging.Recurring
	unsaved  logging.Recurring
}

// load reads the last accepted state. None is no error.
func (g *shrinkGuard) load() error {
	if !g.enabled {
		return nil
	}
	f, err := g.home.Open(g.file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := manifest.Read(f, manifest.Limits{})
	if err != nil {
		return fmt.Errorf("%s: %w", g.file, err)
	}
	g.accepted, g.saved = m, m.Sum()
	return nil
}

// admit says whether a state of the tree may go to the workers. What cannot be
// read is not lost: nobody deletes it, and it counts as it was last accepted.
func (g *shrinkGuard) admit(ctx context.Context, scan *filetree.Scan) bool {
	if !g.enabled {
		return true
	}
	m, err := g.withUnreadable(scan)
	if err != nil {
		g.log.Error("Files that cannot be read count as lost: " + err.Error())
		m = scan.Manifest
	}
	if why := g.suspicion(m); why != "" {
		ok, err := g.decided(ctx)
		if err != nil {
			g.log.Error("Decision about held back files is not readable", "error", err)
		}
		if !ok {
			g.hold(ctx, why)
			return false
		}
		g.log.Warn("Held back files are accepted by the operator: " + why)
	}
	g.release(ctx)
	g.keep(m)
	return true
}

// withUnreadable is what was found, and of what could not be read what was
// accepted before.
func (g *shrinkGuard) withUnreadable(scan *filetree.Scan) (*manifest.Manifest, error) {
	if g.accepted == nil || len(scan.Unreadable)+len(scan.Directories) == 0 {
		return scan.Manifest, nil
	}
	gone := manifest.Difference{Extra: manifest.Compare(g.accepted, scan.Manifest).Missing}
	lost := make(map[string]bool)
	for _, e := range scan.Spare(gone).Extra {
		lost[e.Path] = true
	}
	all := slices.Clone(scan.Manifest.Entries())
	for _, e := range gone.Extra {
		if !lost[e.Path] {
			all = append(all, e)
		}
	}
	return manifest.New(all)
}

// suspicion is what is lost, when that is too much to be meant.
func (g *shrinkGuard) suspicion(m *manifest.Manifest) string {
	old := g.accepted
	if old == nil || old.Len() == 0 {
		return ""
	}
	lost := len(manifest.Compare(old, m).Missing)
	if float64(lost) > g.ratio*float64(old.Len()) {
		return fmt.Sprintf("%d of %d synchronised files are gone", lost, old.Len())
	}
	return g.keysSuspicion(m)
}

// keysSuspicion is what is wrong with the agents' keys. Once they are lost, it is
// not enough that an agent enrols and the file has one key again.
func (g *shrinkGuard) keysSuspicion(m *manifest.Manifest) string {
	if !hasKeys(g.accepted) || g.keysRemoved != nil && g.keysRemoved() {
		return ""
	}
	if !hasKeys(m) {
		g.keysLost = true
		if _, there := m.Lookup(keysFile); !there {
			return keysFile + " is gone"
		}
		return keysFile + " has become empty"
	}
	before, _ := g.accepted.Lookup(keysFile)
	now, _ := m.Lookup(keysFile)
	if g.keysLost && now.Digest != before.Digest && float64(now.Size) < (1-g.ratio)*float64(before.Size) {
		return keysFile + " had become empty, and most of its keys are still missing"
	}
	return ""
}

var emptyDigest = manifest.DigestOf(nil)

func hasKeys(m *manifest.Manifest) bool {
	e, ok := m.Lookup(keysFile)
	return ok && e.Digest != emptyDigest
}

func (g *shrinkGuard) hold(ctx context.Context, why string) {
	const remedy = "bring the files back, or run 'testudo files --accept-shrink' when this is meant"
	g.held.Fail(g.log, slog.LevelError, "Changes are held back from all workers: "+why+". To go on: "+remedy+".")
	g.health.Raise(condShrink, health.Critical, why, remedy)
	g.metrics.HeldBack(true)
	g.record(ctx, why)
}

func (g *shrinkGuard) release(ctx context.Context) {
	g.held.Recovered(g.log, "Changes are no longer held back.")
	g.health.Clear(condShrink)
	g.metrics.HeldBack(false)
	g.record(ctx, "")
}

// record notes what is held back, for 'testudo files' to show.
func (g *shrinkGuard) record(ctx context.Context, why string) {
	if g.tell == nil || g.told != nil && *g.told == why {
		return
	}
	var h *filestate.Held
	if why != "" {
		h = &filestate.Held{Since: time.Now(), Detail: why}
	}
	if err := g.tell(ctx, h); err != nil {
		g.log.Debug("what is held back is not recorded", "error", err)
		return
	}
	g.told = &why
}

// keep remembers an accepted state, on disk as well: a node that starts with
// an empty tree must notice it too.
func (g *shrinkGuard) keep(m *manifest.Manifest) {
	g.accepted, g.keysLost = m, false
	if m.Sum() == g.saved {
		return
	}
	var buf bytes.Buffer
	err := m.WriteJSON(&buf)
	if err == nil {
		err = atomicfile.Write(g.home, g.file, buf.Bytes(), atomicfile.Options{Mode: 0o640, UID: -1, GID: -1})
	}
	if err != nil {
		g.unsaved.Fail(g.log, slog.LevelError, "The accepted state of the files is not saved: "+err.Error())
		return
	}
	g.unsaved.Recovered(g.log, "The accepted state of the files is saved again.")
	g.saved = m.Sum()
}
