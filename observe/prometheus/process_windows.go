package prometheus

import (
	"os"
	"syscall"
)

// attributes give the program a group of its own, so that Ctrl-C reaches only this one.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// terminate ends the program, which cannot be asked to end. It may have ended already.
func terminate(p *os.Process) { _ = p.Kill() }
