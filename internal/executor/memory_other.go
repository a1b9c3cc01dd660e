//go:build !linux

package executor

// boundMemory does nothing: only Linux bounds the memory of another process.
func boundMemory(int, int64) error { return nil }
