//go:build !linux

package reconcile

import "runtime"

func readMachine() machine { return machine{arch: runtime.GOARCH} }
