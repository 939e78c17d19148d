//go:build unix && !linux

package prometheus

import "syscall"

// attributes give the program a group of its own, so that Ctrl-C reaches only this one,
// which then ends the other.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
