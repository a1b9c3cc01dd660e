package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// signalError is the cause of a context that was ended by a signal.
type signalError struct{ signal syscall.Signal }

func (s *signalError) Error() string { return s.signal.String() }

// endingSignal is the signal that ended ctx, 0 when none did.
func endingSignal(ctx context.Context) syscall.Signal {
	if s, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
		return s.signal
	}
	return 0
}

// signal is the signal that ended the program's work, 0 when none did.
func (e *env) signal() syscall.Signal { return endingSignal(e.ctx) }

// withSignals ends the context at the first SIGINT or SIGTERM. A second one
// then has its usual effect: it ends the program at once.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGINT, syscall.SIGTERM)
	var task sync.WaitGroup
	task.Go(func() {
		defer signal.Stop(arrived)
		select {
		case s := <-arrived:
			number, _ := s.(syscall.Signal)
			cancel(&signalError{number})
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(context.Canceled)
		task.Wait()
	}
}

// signalText is what the log says about a signal.
func signalText(s syscall.Signal) string {
	if s == syscall.SIGINT {
		return "SIGINT received. Bye!"
	}
	return fmt.Sprintf("SIGNAL [(%d)-(%s)] received. Exit...", int(s), unix.SignalName(s))
}

// endBySignal ends this process as the signal would have done. Where the signal
// is ignored it gives the exit code that a shell would show.
func endBySignal(s syscall.Signal) error {
	signal.Reset(s)
	if !signal.Ignored(s) && syscall.Kill(os.Getpid(), s) == nil {
		<-time.After(time.Second) // the signal is on its way
	}
	return codeError(128 + int(s))
}
