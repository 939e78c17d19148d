package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/internal/interrupt"
)

// leftoversKey is the key of a context's *leftovers.
type leftoversKey struct{}

// leftovers are the commands that remove what this program would leave behind
// if it ended at once.
type leftovers struct {
	mu       sync.Mutex
	commands []string
}

// RecoverWith notes the command that removes exactly what this program leaves
// behind if it ends from now on without cleaning up. Call cleaned when nothing is
// left: it takes the note back.
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

// leave prints the commands that remove what is left, and returns the exit code.
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

// UntilSignal returns a context that ends with INT, TERM or HUP. A second signal,
// a second or more after the first, ends the program at once after saying how to
// clean up.
func UntilSignal(parent context.Context, w io.Writer) (context.Context, func()) {
	left := &leftovers{}
	return interrupt.Context(context.WithValue(parent, leftoversKey{}, left), func() { os.Exit(left.leave(w)) })
}
