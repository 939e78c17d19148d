package supervise

import "syscall"

// childAttributes gives a process a group of its own, so that Ctrl-C reaches only
// this program, which then ends the others cleanly. It also makes the kernel kill
// the process when this program dies, even while the process is paused.
func childAttributes(a *syscall.SysProcAttr) *syscall.SysProcAttr {
	if a == nil {
		a = &syscall.SysProcAttr{}
	}
	a.Setpgid = true
	a.Pdeathsig = syscall.SIGKILL
	return a
}
