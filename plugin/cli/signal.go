package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A signalError is the cause of a context that a signal ended.
type signalError struct{ signal os.Signal }

func (e signalError) Error() string {
	names := map[os.Signal]string{os.Interrupt: "SIGINT", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP"}
	if name := names[e.signal]; name != "" {
		return "interrupted by " + name
	}
	return "interrupted by " + e.signal.String()
}

// Is lets callers ask for any interruption.
func (e signalError) Is(target error) bool { return target == errInterrupted }

var errInterrupted = errors.New("interrupted")

// leftoversKey is the key of a context's *leftovers.
type leftoversKey struct{}

// leftovers are the commands that remove what this program would leave behind
// if it ended at once.
type leftovers struct {
	mu       sync.Mutex
	commands []string
}

// RecoverWith notes the command that removes exactly what is left if this program
// ends from now on without cleaning up. The returned function takes the note
// back: call it when nothing is left.
func RecoverWith(ctx context.Context, command string) (cleaned func()) {
	l, ok := ctx.Value(leftoversKey{}).(*leftovers)
	if !ok {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.commands, command) {
		l.commands = append(l.commands, command)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.commands = slices.DeleteFunc(l.commands, func(c string) bool { return c == command })
	}
}

// leave says how to remove what is left, and returns the exit code.
func (l *leftovers) leave(w io.Writer) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.commands) == 0 {
		fmt.Fprintln(w, "\ninterrupted again: leaving at once")
		return ExitError
	}
	fmt.Fprintln(w, "\ninterrupted again: leaving at once; to remove what is left, run:")
	for _, command := range l.commands {
		fmt.Fprintln(w, "  "+command)
	}
	return ExitCleanup
}

// sameWish is how long signals after the first repeat it: programs such as
// timeout(1) signal the process and then its group.
const sameWish = time.Second

// UntilSignal returns a context that ends with INT, TERM or HUP. A second signal,
// a second or more after the first, ends the program at once after saying how to
// clean up. HUP stays ignored under nohup(1). From here on, a write to a pipe that
// nobody reads is an error, which gives the time to clean up that SIGPIPE does not.
func UntilSignal(parent context.Context, w io.Writer) (context.Context, func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := untilSignal(parent, w, signals, os.Exit)
	return ctx, func() {
		signal.Stop(signals)
		stop()
	}
}

func untilSignal(parent context.Context, w io.Writer, signals <-chan os.Signal, exit func(int)) (context.Context, func()) {
	left := &leftovers{}
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, leftoversKey{}, left))
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
				case time.Since(first) >= sameWish:
					exit(left.leave(w))
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
