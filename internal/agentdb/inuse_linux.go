package agentdb

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	maxProcesses   = 8192 // processes looked at
	maxDescriptors = 4096 // open files of one process looked at
)

// holder names a process other than this one that has the file open, "" when
// none is seen. Processes of other users are seen by root only.
func holder(ctx context.Context, path string) string {
	file, err := os.Stat(path)
	if err != nil {
		return ""
	}
	for _, process := range entries("/proc", maxProcesses) {
		pid, err := strconv.Atoi(process)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if ctx.Err() != nil {
			return ""
		}
		if hasOpen(filepath.Join("/proc", process, "fd"), file) {
			name, _ := os.ReadFile(filepath.Join("/proc", process, "comm"))
			return fmt.Sprintf("process %d (%s)", pid, bytes.TrimSpace(name))
		}
	}
	return ""
}

// hasOpen tells whether one of the descriptors listed in dir is the file.
func hasOpen(dir string, file os.FileInfo) bool {
	for _, fd := range entries(dir, maxDescriptors) {
		link := filepath.Join(dir, fd)
		// The name a descriptor was opened by costs less than the file behind it.
		target, err := os.Readlink(link)
		if err != nil || !strings.HasSuffix(target, file.Name()) {
			continue
		}
		if open, err := os.Stat(link); err == nil && os.SameFile(open, file) {
			return true
		}
	}
	return false
}

// entries lists at most limit names of a directory, none when it cannot be read.
func entries(dir string, limit int) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(limit) // what was read before an error is as good
	return names
}
