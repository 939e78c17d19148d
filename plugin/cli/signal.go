package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// A signalError is the cause of a context that a signal ended.
type signalError struct{ signal os.Signal }

func (e signalError) Error() string { return "interrupted by " + e.signal.String() }

// Is lets callers ask for any interruption.
func (e signalError) Is(target error) bool { return target == errInterrupted }

// recoveryKey is the key of a context's *recovery.
type recoveryKey struct{}

// A recovery is how to remove what a program leaves that ends at once.
type recovery struct{ Command atomic.Value }

// RecoverWith notes the command that removes what the command under way leaves
// if it is not allowed to clean up.
func RecoverWith(ctx context.Context, command string) {
	if r, ok := ctx.Value(recoveryKey{}).(*recovery); ok {
		r.Command.Store(command)
	}
}

// UntilSignal returns a context that ends with INT, TERM or HUP. A second signal
// ends the program at once, after saying how to clean up.
func UntilSignal(parent context.Context, w io.Writer) (context.Context, func()) {
	after := &recovery{}
	after.Command.Store("kubectl microsim down --all --on local")
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, recoveryKey{}, after))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case s := <-signals:
				if n > 0 {
					fmt.Fprintf(w, "\ninterrupted again: leaving at once; to remove what is left, run: %s\n", after.Command.Load())
					os.Exit(ExitCleanup)
				}
				cancel(signalError{s})
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

var errInterrupted = errors.New("interrupted")
