package agent

import (
	"errors"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
)

// The exit codes of microsim-agent. Those of kubectl-microsim with the same
// meaning have the same numbers.
const (
	exitDone    = 0
	exitError   = 1
	exitUsage   = 2
	exitCleanup = 11
)

// ExitInterrupted is the exit code of a program that a second signal ended before
// it had cleaned up.
const ExitInterrupted = exitCleanup

// ExitCode returns the exit code of microsim-agent for an error of [Run]: 0 for
// none, 2 for [ErrUsage], 11 for [ErrCleanup], 1 for any other.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, ErrUsage):
		return exitUsage
	case errors.Is(err, impair.ErrCleanup):
		return exitCleanup
	}
	return exitError
}
