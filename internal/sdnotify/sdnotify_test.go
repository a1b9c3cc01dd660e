package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// listen puts a service manager at the address.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestNotify_SaysHowTheServiceFares(t *testing.T) {
	addresses := map[string]string{"path": filepath.Join(t.TempDir(), "s")}
	if runtime.GOOS == "linux" {
		addresses["abstract"] = fmt.Sprintf("@testudo-notify-%d", os.Getpid())
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			conn := listen(t, address)
			steps := []struct {
				tell func() error
				want string
			}{
				{Ready, "READY=1"},
				{func() error { return Status("in step\nREADY=1") }, "STATUS=in step READY=1"},
				{func() error { return Status(strings.Repeat("é", 1000)) }, "STATUS=" + strings.Repeat("é", maxStatus/2)},
				{Stopping, "STOPPING=1"},
			}
			for _, s := range steps {
				if err := s.tell(); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, conn); got != s.want {
					t.Errorf("got %q, want %q", got, s.want)
				}
			}
		})
	}
}

func TestNotify_NobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := errors.Join(Ready(), Status("x"), Stopping()); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "relative")
	if err := Ready(); !errors.Is(err, ErrAddress) {
		t.Errorf("got %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	if err := Ready(); err == nil {
		t.Error("a missing socket is no error")
	}
}
