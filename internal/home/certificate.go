package home

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"testudo/internal/certificate"
	"testudo/internal/config"
)

// certificate makes the certificate that the node shows to agents, and its key,
// unless there is one (docs/enrolment.md §2). In a home whose ossec.conf is there
// already that is the one which the file names; a place outside of the home is
// its owner's matter.
func (r *Report) certificate(dir string, root *os.Root, s Spec) error {
	auth := config.Default(dir).Auth
	if s.Role == "" {
		c, problems := config.Load(config.LoadOptions{Home: dir})
		if auth = c.Auth; config.HasErrors(problems) || !auth.Present {
			return nil
		}
	}
	if filepath.IsAbs(auth.Certificate) || filepath.IsAbs(auth.CertificateKey) {
		return nil
	}
	files := []string{auth.CertificateKey, auth.Certificate}
	before := [2]bool{}
	for i, name := range files {
		_, err := root.Lstat(name)
		if before[i] = err == nil; err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make home: %w", err)
		}
	}
	uid, gid := currentOwner().ids(false)
	fingerprint, err := certificate.Make(root, certificate.Place{
		Certificate: auth.Certificate, Key: auth.CertificateKey, UID: uid, GID: gid,
	}, s.certificateNames()...)
	if err != nil && !errors.Is(err, certificate.ErrExists) {
		return fmt.Errorf("make home: %w", err)
	}
	r.Fingerprint = fingerprint
	for i, name := range files {
		switch {
		case before[i]:
			r.Kept = append(r.Kept, name)
		case err == nil:
			r.Created = append(r.Created, name)
		}
	}
	return nil
}

// certificateNames are those by which agents may call the node: its machine's,
// its own, and its address if it has been told one.
func (s Spec) certificateNames() []string {
	var names []string
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	if s.Name != "" {
		names = append(names, s.Name)
	}
	if addr, err := netip.ParseAddr(s.Bind); err == nil && !addr.IsUnspecified() {
		names = append(names, s.Bind)
	}
	slices.Sort(names[min(1, len(names)):])
	return slices.Compact(names)
}
