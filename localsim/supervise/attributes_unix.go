//go:build unix && !linux

package supervise

import "syscall"

// childAttributes gives a process a group of its own, so that Ctrl-C reaches only
// this program, which then ends the others cleanly.
func childAttributes(a *syscall.SysProcAttr) *syscall.SysProcAttr {
	if a == nil {
		a = &syscall.SysProcAttr{}
	}
	a.Setpgid = true
	return a
}
