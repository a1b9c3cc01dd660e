package integrity

import (
	"context"
	"errors"
	"fmt"
	"io"

	"testudo/internal/bundle"
	"testudo/internal/manifest"
	"testudo/internal/session"
)

var (
	errNoMetadata = errors.New("package without " + bundle.MetadataName)
	errNotAlone   = errors.New("a worker's package may hold nothing but " + bundle.MetadataName)
)

// readMetadata reads the manifest out of a worker's package.
func readMetadata(ctx context.Context, u *session.Upload, l manifest.Limits) (*manifest.Manifest, error) {
	var m *manifest.Manifest
	limits := bundle.Limits{Members: 1, MemberBytes: l.Bytes, TotalBytes: l.Bytes}
	err := bundle.Read(ctx, u.Reader(), limits, func(path string, content io.Reader) error {
		if path != bundle.MetadataName {
			return errNotAlone
		}
		var err error
		if m, err = manifest.Read(content, l); err != nil {
			return fmt.Errorf("%s: %w", bundle.MetadataName, err)
		}
		return nil
	})
	if err == nil && m == nil {
		err = errNoMetadata
	}
	return m, err
}
