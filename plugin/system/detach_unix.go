//go:build unix

package system

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// ownSession lets a process outlive the terminal it was started from.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// createLog makes a log for a system that does not run yet. It has a name of its
// own, so that it takes nothing from a system that starts at the same time.
func createLog(dir, system string) (*os.File, error) { return os.CreateTemp(dir, system+".log-*") }

// publishLog gives the log of a system that runs the name by which it is found.
func publishLog(log, dir, system string) (string, error) {
	path := local.LogPath(dir, system)
	if err := os.Rename(log, path); err != nil {
		return "", fmt.Errorf("renaming %q: %w", log, err)
	}
	return path, nil
}
