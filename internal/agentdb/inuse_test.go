package agentdb

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func claimed(t *testing.T, path string) func() error {
	t.Helper()
	release, err := claim(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func TestClaim_HoldsUntilReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "global.db")
	release := claimed(t, path)
	if _, err := claim(t.Context(), path); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, want ErrInUse", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if err := claimed(t, path)(); err != nil {
		t.Error(err)
	}
}

func TestClaim_ServedOnTheSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "global.db")
	server, err := net.Listen("unix", filepath.Join(dir, "wdb"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = claim(t.Context(), path)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "services.agentdb: external") {
		t.Errorf("%v, want ErrInUse with the setting", err)
	}
	// A dead socket is nobody's.
	server.(*net.UnixListener).SetUnlinkOnClose(false)
	server.Close()
	if err := claimed(t, path)(); err != nil {
		t.Error(err)
	}
}

func TestClaim_OpenElsewhere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows what other processes have open")
	}
	path := filepath.Join(t.TempDir(), "global.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := claimed(t, path)(); err != nil { // we ourselves do not count
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	other := exec.CommandContext(ctx, "sleep", "60")
	other.Stdin = f
	if err := other.Start(); err != nil {
		t.Skip("cannot start sleep:", err)
	}
	defer func() { cancel(); _ = other.Wait() }()
	if _, err := claim(t.Context(), path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process") {
		t.Errorf("%v, want ErrInUse with the process", err)
	}
}
