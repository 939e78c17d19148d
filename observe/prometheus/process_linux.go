package prometheus

import "syscall"

// attributes give the program a group of its own, so that Ctrl-C reaches only this one,
// which then ends the other, and have the kernel end it if this program dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
