// Package cli holds the parts that all commands share: streams, flags, input files,
// printing, the terminal, signals, and errors with their exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/runner"
)

// The exit codes.
const (
	ExitDone        = 0
	ExitError       = 1
	ExitUsage       = 2
	ExitCheckFailed = 10
	ExitCleanup     = 11
)

// usageError is a misuse of the command line. Conclude prints the usage line of the
// command below it.
type usageError struct {
	cmd *cobra.Command
	err error
}

// Usage marks an error as a misuse of a command, which exits with ExitUsage.
func Usage(cmd *cobra.Command, err error) error { return usageError{cmd, err} }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// checksFailedError says that an experiment ran to its end and did not pass.
type checksFailedError struct{ failed, all int }

// ChecksFailed is the error of an experiment of which some checks did not hold. It
// exits with ExitCheckFailed.
func ChecksFailed(failed, all int) error { return checksFailedError{failed, all} }

func (e checksFailedError) Error() string {
	return fmt.Sprintf("%d of %d checks did not hold", e.failed, e.all)
}

// endedBadlyError says that a run in the cluster ended in an error, and with which
// exit code.
type endedBadlyError struct {
	code int
	text string
}

// EndedBadly is the error of a run in the cluster that ended with an exit code;
// this command exits with the same code.
func EndedBadly(code int, text string) error { return endedBadlyError{code, text} }

func (e endedBadlyError) Error() string { return "the run ended badly: " + e.text }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

// ExitWith gives an error an exit code of its own. It returns nil if err is nil.
func ExitWith(code int, err error) error {
	if err == nil {
		return nil
	}
	return exitError{code, err}
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// Commands checks the arguments of a command that only groups other commands. It
// refuses an unknown command, and suggests those with a similar name.
func Commands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(meant, " or "))
	}
	return Usage(cmd, err)
}

// Conclude prints an error for people and returns its exit code.
func Conclude(w io.Writer, err error) int {
	if err == nil {
		return ExitDone
	}
	lines := strings.Split(err.Error(), "\n")
	fmt.Fprintf(w, "error: %s\n", shorten(lines[0]))
	for _, line := range lines[1:] {
		fmt.Fprintf(w, "       %s\n", shorten(line))
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(w, "usage: %s\nSee '%s --help'.\n", usage.cmd.UseLine(), usage.cmd.CommandPath())
	}
	return ExitCode(err)
}

// lineLimit bounds a line of an error, in bytes. An error quotes values of any
// length, and a long value would scroll the reason and the next step off the
// screen.
const lineLimit = 2000

// shorten leaves out the middle of a line that is longer than lineLimit.
func shorten(line string) string {
	if len(line) <= lineLimit {
		return line
	}
	const kept = lineLimit / 2
	head, tail := strings.ToValidUTF8(line[:kept], ""), strings.ToValidUTF8(line[len(line)-kept:], "")
	return fmt.Sprintf("%s... (%d bytes left out) ...%s", head, len(line)-len(head)-len(tail), tail)
}

// ExitCode returns the exit code of an error. Of several joined errors, the first
// in the order of the cases decides.
func ExitCode(err error) int {
	var (
		usage     usageError
		cleanup   *runner.CleanupError
		checks    checksFailedError
		elsewhere endedBadlyError
		own       exitError
	)
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &elsewhere):
		return elsewhere.code
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &cleanup):
		return ExitCleanup
	case errors.As(err, &checks):
		return ExitCheckFailed
	}
	return ExitError
}

// Cause replaces context.Canceled, which gives no reason, by the cause of the end
// of ctx.
func Cause(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}
