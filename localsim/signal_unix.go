//go:build unix

package localsim

import (
	"errors"
	"os"
	"syscall"
)

// canPause tells why a process cannot be paused here; nil means it can.
func canPause() error { return nil }

func pauseProcess(p *os.Process) error     { return p.Signal(syscall.SIGSTOP) }
func resumeProcess(p *os.Process) error    { return p.Signal(syscall.SIGCONT) }
func terminateProcess(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// ignoreDone takes the error of a signal to a process that has ended for none.
func ignoreDone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
