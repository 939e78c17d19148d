package system

import (
	"os/exec"
	"syscall"
)

// ownSession lets a process outlive the console it was started from.
func ownSession(cmd *exec.Cmd) {
	const detachedProcess = 0x8
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: detachedProcess | syscall.CREATE_NEW_PROCESS_GROUP}
}
