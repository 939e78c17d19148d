//go:build unix

package system

import (
	"os/exec"
	"syscall"
)

// ownSession lets a process outlive the terminal it was started from.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
