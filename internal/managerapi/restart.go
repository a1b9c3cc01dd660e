package managerapi

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

// lockFile is held while a restart is asked for; the original's programs hold it,
// too.
const lockFile = runDir + "/.api_execq_lock"

// lockEvery is how long it takes to look again for a lock that another has.
const lockEvery = 20 * time.Millisecond

func (a *API) restart(ctx context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := &result.Affected{
		SortCasting: []string{"str"},
		AllMsg:      "Restart request sent to  all specified nodes",
		SomeMsg:     "Could not send restart request to some specified nodes",
		NoneMsg:     "Could not send restart request to any node",
	}
	return a.about(c, "restart", r, func() error {
		if err := a.askRestart(ctx); err != nil {
			return a.failHere(c, r, err)
		}
		return r.Add(a.name(c))
	})
}

// askRestart asks the daemon that executes commands to restart this node. Errors:
// fault.ExecQueueMissing, ExecQueueRefused, SocketTalk, and that of ctx.
func (a *API) askRestart(ctx context.Context) error {
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !present(a.path(executeSocket)) {
		return fault.New(fault.ExecQueueMissing, nil)
	}
	text, err := newMessage("restart-wazuh", map[string]any{"extra_args": []string{}, "alert": map[string]string{}})
	if err != nil {
		return err
	}
	switch err := a.send(ctx, executeSocket, text); {
	case err == nil:
		return nil
	case stopped(ctx) != nil:
		return stopped(ctx)
	case gone(err):
		return fault.Wrap(fault.ExecQueueMissing, nil, err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPROTOTYPE):
		return fault.Wrap(fault.ExecQueueRefused, nil, err)
	default:
		return fault.Wrap(fault.SocketTalk, "the queue takes nothing", err)
	}
}

// lock takes the lock of the queue, which another process may hold for a moment.
func (a *API) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(a.path(lockFile), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fault.Wrap(fault.ExecQueueRefused, nil, err)
	}
	again := time.NewTicker(lockEvery)
	defer again.Stop()
	for {
		switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return func() { _ = file.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fault.Wrap(fault.ExecQueueRefused, nil, err), file.Close())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, errors.Join(stopped(ctx), file.Close())
		}
	}
}

// present tells whether there is something at the path.
func present(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
