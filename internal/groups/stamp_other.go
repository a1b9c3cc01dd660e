//go:build !linux

package groups

import "io/fs"

// identity is not known here; size and time of modification have to do.
func identity(fs.FileInfo) (inode uint64, changed int64) { return 0, 0 }
