//go:build unix

package prometheus

import (
	"os"
	"syscall"
)

// terminate asks the program to end. It may have ended already.
func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) }
