package plugin

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// A signalError is the cause of a context that a signal ended.
type signalError struct{ signal os.Signal }

func (e signalError) Error() string { return "interrupted by " + e.signal.String() }

// Is lets callers ask for any interruption.
func (e signalError) Is(target error) bool { return target == errInterrupted }

// untilSignal returns a context that ends with INT, TERM or HUP. A second signal
// ends the program at once, after saying how to clean up.
func untilSignal(parent context.Context, w io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
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
					fmt.Fprintln(w, "\ninterrupted again: leaving at once; to remove what is left, run: kubectl microsim down --all --on local")
					os.Exit(exitCleanup)
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
