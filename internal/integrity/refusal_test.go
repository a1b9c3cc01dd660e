package integrity

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"testudo/internal/bundle"
	"testudo/internal/fault"
	"testudo/internal/session"
)

func TestRefusal(t *testing.T) {
	full := &session.RemoteError{Command: "file_upd", Fault: fault.New(fault.Unspecified, "no space left on device")}
	other := errors.New("connection reset")
	cancelled := &session.CancelledError{Remote: full}
	for _, c := range []struct{ err, want error }{
		{fmt.Errorf("adding %q to the package: %w", "etc/rules/a", full), full},
		{fmt.Errorf("adding %q to the package: %w", "etc/rules/b", full), full},
		{cancelled, cancelled},
		{other, other},
	} {
		if got := refusal(c.err); got != c.want { //nolint:errorlint // the very same
			t.Errorf("%v is told as %v", c.err, got)
		}
	}
}

func TestGeneral(t *testing.T) {
	unpacking := func(path string, err error) error {
		return fmt.Errorf("unpack package: member %q: %w", path, &memberError{path, err})
	}
	full := fmt.Errorf("staging: writing: %w", syscall.ENOSPC)
	large := errors.New("package has more than 1000 bytes of a member")
	for _, c := range []struct {
		err  error
		want string
	}{
		{unpacking("etc/rules/a", full), "unpack package: store its files: no space left on device"},
		{unpacking("etc/rules/b", full), "unpack package: store its files: no space left on device"},
		{unpacking("etc/rules/a", large), `unpack package: member "etc/rules/a": ` + large.Error()},
		{syscall.EROFS, syscall.EROFS.Error()},
	} {
		if got := general(c.err).Error(); got != c.want {
			t.Errorf("%v is told as %s, want %s", c.err, got, c.want)
		}
	}
}

// What keeps a file from leaving is told of the one whose fault it is.
func TestReasonOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{fmt.Errorf("pack: %w", bundle.ErrChanged), reasonChanged},
		{fs.ErrPermission, "unreadable: permission denied"},
		{&bundle.SpoolError{Err: &fs.PathError{Op: "write", Path: "packed-1.spool", Err: syscall.ENOSPC}}, "writing to the spool: no space left on device"},
	} {
		if got := reasonOf(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
