package filetree

import "testudo/internal/manifest"

// Digest is the digest of the content that is staged for a path. It says whether
// there is one.
func (s *Stage) Digest(path string) (manifest.Digest, bool) {
	m := s.members[path]
	if m == nil {
		return manifest.Digest{}, false
	}
	return m.digest, true
}
