package integrity

import (
	"errors"
	"log/slog"
	"slices"

	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

// A 4.7.5 master announces the digests of its last look and packs what it has by
// then, so that a file that is being written arrives with another content than
// announced. Mostly that passes with the next round. But when it looked at a
// file during the last write to it, it holds the digest of half a file, with the
// time of the whole one, and never looks again.

// weigh leaves a file of a 4.7.5 master that is not what was announced for the
// next round, and takes it as it is when it comes like that again. It returns
// what there is to do, without what this node has already, and how many files
// were taken so. The caller holds w.apply.
func (c *comparing) weigh(log *slog.Logger, stage *filetree.Stage, d manifest.Difference) (manifest.Difference, int) {
	if c.s.PeerIsTestudo() {
		return d, 0 // it packs nothing but what it announces
	}
	c.mu.Lock()
	own := c.own
	c.mu.Unlock()
	before, now, taken := c.doubted, make(map[string]bool), 0
	weigh := func(entries []manifest.Entry) []manifest.Entry {
		kept := make([]manifest.Entry, 0, len(entries))
		for _, e := range entries {
			digest, staged := stage.Digest(e.Path)
			if !staged || digest == e.Digest {
				kept = append(kept, e)
				continue
			}
			now[e.Path] = true
			if before[e.Path] {
				if taken++; taken == 1 {
					c.w.doubts.Fail(log, slog.LevelWarn, "The master sends files each round, for what it holds to be their digest is not. Saving them there once more helps.",
						slog.String("first", e.Path))
				}
				e.Digest = digest
			}
			if !holds(own, e) {
				kept = append(kept, e)
			}
		}
		return kept
	}
	d.Missing, d.Shared = weigh(d.Missing), weigh(d.Shared)
	c.doubted = now
	return d, taken
}

// holds says whether a tree has a file with the content of an entry.
func holds(m *manifest.Manifest, e manifest.Entry) bool {
	if m == nil {
		return false
	}
	own, ok := m.Lookup(e.Path)
	return ok && own.Digest == e.Digest
}

// passing says whether all problems are files that weigh has left for the next
// round.
func (c *comparing) passing(log *slog.Logger, problems []filetree.Problem) bool {
	if c.s.PeerIsTestudo() || slices.ContainsFunc(problems, func(p filetree.Problem) bool { return !errors.Is(p.Err, filetree.ErrDigest) }) {
		return false
	}
	log.Info("Files have changed on the master while they were sent; they come with the next round.",
		"files", len(problems), "first", problems[0].Path)
	return true
}
