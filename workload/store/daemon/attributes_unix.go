//go:build unix && !linux

package daemon

import "syscall"

// attributes give a server a group of its own, so that Ctrl-C reaches only this
// program.
func attributes(who *identity) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: who.credential()}
}
