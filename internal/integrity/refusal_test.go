package integrity

import (
	"errors"
	"fmt"
	"testing"

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
