package integrity

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"

	"testudo/internal/atomicfile"
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
	log     *slog.Logger
	health  *health.Board
	metrics *metrics.Set

	accepted *manifest.Manifest
	saved    manifest.Digest
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

// admit says whether a state of the tree may go to the workers.
func (g *shrinkGuard) admit(ctx context.Context, m *manifest.Manifest) bool {
	if !g.enabled {
		return true
	}
	if why := g.suspicion(m); why != "" {
		ok, err := g.decided(ctx)
		if err != nil {
			g.log.Error("Decision about held back files is not readable", "error", err)
		}
		if !ok {
			g.hold(why)
			return false
		}
		g.log.Warn("Held back files are accepted by the operator: " + why)
	}
	g.release()
	g.keep(m)
	return true
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
	if hasKeys(old) && !hasKeys(m) {
		return keysFile + " has become empty"
	}
	return ""
}

var emptyDigest = manifest.DigestOf(nil)

func hasKeys(m *manifest.Manifest) bool {
	e, ok := m.Lookup(keysFile)
	return ok && e.Digest != emptyDigest
}

func (g *shrinkGuard) hold(why string) {
	const remedy = "bring the files back, or run 'testudo files --accept-shrink' when this is meant"
	g.held.Fail(g.log, slog.LevelError, "Changes are held back from all workers: "+why+". To go on: "+remedy+".")
	g.health.Raise(condShrink, health.Critical, why, remedy)
	g.metrics.HeldBack(true)
}

func (g *shrinkGuard) release() {
	g.held.Recovered(g.log, "Changes are no longer held back.")
	g.health.Clear(condShrink)
	g.metrics.HeldBack(false)
}

// keep remembers an accepted state, on disk as well: a node that starts with
// an empty tree must notice it too.
func (g *shrinkGuard) keep(m *manifest.Manifest) {
	g.accepted = m
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
