package daemon

import "syscall"

// attributes give a server a group of its own, so that Ctrl-C reaches only this
// program, and have the kernel kill it when this program dies.
func attributes(who *identity) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who.credential()}
}
