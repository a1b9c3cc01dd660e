package manifest

import "errors"

// ErrMetadata is returned when metadata are not what docs/integrity.md §3 and
// §5.1 describe.
var ErrMetadata = errors.New("malformed metadata")

// ErrLimit is returned when metadata exceed a limit of the reader.
var ErrLimit = errors.New("metadata too large")

// Limits bounds what Read and ReadDifference accept. A value of 0 stands for
// the default.
type Limits struct {
	Entries   int   // entries in all, default 1,000,000
	PathBytes int   // bytes of a path, default MaxPath
	Bytes     int64 // bytes of the JSON, default 1 GiB
}

func (l Limits) withDefaults() Limits {
	if l.Entries <= 0 {
		l.Entries = 1_000_000
	}
	if l.PathBytes <= 0 {
		l.PathBytes = MaxPath
	}
	if l.Bytes <= 0 {
		l.Bytes = 1 << 30
	}
	return l
}
