//go:build !linux

package keystore

import "os"

// dataSync waits until what was written to a file is on the disk.
func dataSync(f *os.File) error { return f.Sync() }
