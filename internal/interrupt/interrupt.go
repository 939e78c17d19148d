// Package interrupt ends the work of a program on INT, TERM and HUP.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Err is what the cause of a context is when a signal ended it, for errors.Is.
var Err = errors.New("interrupted")

// A signalError is the cause of a context that a signal ended.
type signalError struct{ signal os.Signal }

func (e signalError) Error() string {
	names := map[os.Signal]string{os.Interrupt: "SIGINT", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP"}
	if name := names[e.signal]; name != "" {
		return "interrupted by " + name
	}
	return "interrupted by " + e.signal.String()
}

func (e signalError) Is(target error) bool { return target == Err }

// sameRequest is how long signals after the first repeat it: programs such as
// timeout(1) signal the process and then its group.
const sameRequest = time.Second

// Context returns a context that ends with INT, TERM or HUP. For each signal that
// comes a second or more after the first, again is called, which is to end the
// program: its work did not stop with the context. HUP stays ignored under
// nohup(1). From here on, a write to a pipe that nobody reads is an error, which
// gives the time to clean up that SIGPIPE does not.
func Context(parent context.Context, again func()) (ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, end := obey(parent, signals, again)
	return ctx, func() {
		signal.Stop(signals)
		end()
	}
}

func obey(parent context.Context, signals <-chan os.Signal, again func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var first time.Time
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				switch {
				case first.IsZero():
					first = time.Now()
					cancel(signalError{s})
				case time.Since(first) >= sameRequest:
					again()
				}
			}
		}
	}()
	return ctx, func() {
		close(done)
		<-ended
		cancel(nil)
	}
}
