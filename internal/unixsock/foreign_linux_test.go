package unixsock

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"testudo/internal/shortdir"
)

// A dead socket that root left behind keeps an account from its place: the error
// names the file, its owner and what to do.
func TestListen_SocketOfAnotherAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the owner of a socket")
	}
	dir := shortdir.New(t)
	path := filepath.Join(dir, "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	closed := filepath.Join(dir, "closed")
	if err := errors.Join(os.Chmod(path, 0o600), os.Chmod(dir, 0o777), os.Mkdir(closed, 0o755)); err != nil {
		t.Fatal(err)
	}
	foreign, barred := listenAs(t, 65534, path), listenAs(t, 65534, filepath.Join(closed, "s"))
	if !errors.Is(foreign, ErrForeign) || !strings.Contains(foreign.Error(), "another account, root") || !strings.Contains(foreign.Error(), "(rm "+path+")") {
		t.Error(foreign)
	}
	if !errors.Is(barred, fs.ErrPermission) || !strings.Contains(barred.Error(), "may not make files in "+closed) {
		t.Error(barred)
	}
}

// listenAs listens as another account, on a thread of its own that ends with that.
func listenAs(t *testing.T, uid int, path string) (err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: no other goroutine gets this thread
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), 0); errno != 0 {
			err = errno
			return
		}
		var ln *Listener
		if ln, err = Listen(path, 0o660, -1, -1); err == nil {
			ln.Close()
		}
	}()
	<-done
	return err
}
