// Package cli is what all commands share: streams, flags, input files, printing,
// the terminal, signals, and errors with their exit codes.
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

// usageError is a misuse of the command line; the usage line is shown with it.
type usageError struct {
	cmd *cobra.Command
	err error
}

// Usage makes an error a misuse of a command.
func Usage(cmd *cobra.Command, err error) error { return usageError{cmd, err} }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// checksFailedError says that an experiment ran and was judged bad.
type checksFailedError struct{ failed, all int }

// ChecksFailed is the error of an experiment whose checks did not all hold.
func ChecksFailed(failed, all int) error { return checksFailedError{failed, all} }

func (e checksFailedError) Error() string {
	return fmt.Sprintf("%d of %d checks did not hold", e.failed, e.all)
}

// endedBadlyError says that a run elsewhere ended in an error, and with which exit
// code.
type endedBadlyError struct {
	code int
	text string
}

// EndedBadly is the error of a run elsewhere that ended with an exit code.
func EndedBadly(code int, text string) error { return endedBadlyError{code, text} }

func (e endedBadlyError) Error() string { return "the run ended badly: " + e.text }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

// ExitWith gives an error an exit code of its own; nil stays nil.
func ExitWith(code int, err error) error {
	if err == nil {
		return nil
	}
	return exitError{code, err}
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// Commands are the arguments of a command that only has commands below it: an
// argument that is none of them is a misuse, with those that it may have meant.
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

// Conclude prints an error for people and returns the exit code that goes with it.
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

// lineLimit is how long a line of an error may be. Values may have any length, and
// a terminal that scrolls away shows neither the reason nor the next step.
const lineLimit = 2000

// shorten leaves out the middle of a line that is too long.
func shorten(line string) string {
	if len(line) <= lineLimit {
		return line
	}
	const kept = lineLimit / 2
	head, tail := strings.ToValidUTF8(line[:kept], ""), strings.ToValidUTF8(line[len(line)-kept:], "")
	return fmt.Sprintf("%s... (%d bytes left out) ...%s", head, len(line)-len(head)-len(tail), tail)
}

// ExitCode is the exit code that goes with an error.
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

// Cause replaces the bare text of a cancelled context by what ended it.
func Cause(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}
