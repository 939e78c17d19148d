//go:build unix

package system

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// ownSession makes a process outlive the terminal from which it was started.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// createLog creates a log for a system that does not run yet. The log has a unique
// name, so that it does not replace that of a system that starts at the same time.
func createLog(dir, system string) (*os.File, error) { return os.CreateTemp(dir, system+".log-*") }

// publishLog renames the log of a running system to the name by which other
// commands find it.
func publishLog(log, dir, system string) (string, error) {
	path := local.LogPath(dir, system)
	if err := os.Rename(log, path); err != nil {
		return "", fmt.Errorf("renaming %q: %w", log, err)
	}
	return path, nil
}
