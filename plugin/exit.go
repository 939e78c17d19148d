package plugin

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
	exitDone        = 0
	exitError       = 1
	exitUsage       = 2
	exitCheckFailed = 10
	exitCleanup     = 11
)

// usageError is a misuse of the command line; the usage line is shown with it.
type usageError struct {
	cmd *cobra.Command
	err error
}

// usage makes an error a misuse of a command.
func usage(cmd *cobra.Command, err error) error { return usageError{cmd, err} }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// checksFailedError says that an experiment ran and was judged bad.
type checksFailedError struct{ failed, all int }

// checksFailed is the error of an experiment whose checks did not all hold.
func checksFailed(failed, all int) error { return checksFailedError{failed, all} }

func (e checksFailedError) Error() string {
	return fmt.Sprintf("%d of %d checks did not hold", e.failed, e.all)
}

// endedBadlyError says that a run elsewhere ended in an error, and with which exit
// code.
type endedBadlyError struct {
	code int
	text string
}

// endedBadly is the error of a run elsewhere that ended with an exit code.
func endedBadly(code int, text string) error { return endedBadlyError{code, text} }

func (e endedBadlyError) Error() string { return "the run ended badly: " + e.text }

// conclude prints an error for people and returns the exit code that goes with it.
func conclude(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	lines := strings.Split(err.Error(), "\n")
	fmt.Fprintf(w, "error: %s\n", lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintf(w, "       %s\n", line)
	}
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(w, "usage: %s\nSee '%s --help'.\n", usage.cmd.UseLine(), usage.cmd.CommandPath())
	case isUnknown(err):
		fmt.Fprintln(w, "See 'kubectl microsim --help'.")
	}
	return exitCode(err)
}

// isUnknown recognises what the library says of a command that there is not.
func isUnknown(err error) bool { return strings.HasPrefix(err.Error(), "unknown command ") }

// exitCode is the exit code that goes with an error.
func exitCode(err error) int {
	var (
		usage     usageError
		cleanup   *runner.CleanupError
		checks    checksFailedError
		elsewhere endedBadlyError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &elsewhere):
		return elsewhere.code
	case errors.As(err, &usage), isUnknown(err):
		return exitUsage
	case errors.As(err, &cleanup):
		return exitCleanup
	case errors.As(err, &checks):
		return exitCheckFailed
	}
	return exitError
}

// cause replaces the bare text of a cancelled context by what ended it.
func cause(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}
