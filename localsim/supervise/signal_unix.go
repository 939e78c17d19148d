//go:build unix

package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// CanPause returns nil, because processes can be paused here.
func CanPause() error { return nil }

// stopWait is how long a process may take to stop.
const stopWait = 5 * time.Second

// pauseProcess stops the process and waits until it has: threads run on until
// one of them has taken the signal, which takes a while on a busy machine.
func pauseProcess(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(stopWait); !hasStopped(p.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("process %d does not stop", p.Pid), p.Signal(syscall.SIGCONT))
		}
	}
	return nil
}

func resumeProcess(p *os.Process) error    { return p.Signal(syscall.SIGCONT) }
func terminateProcess(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// killGroup kills the processes that a process left in its group when it ended,
// such as a server for whose end a script did not wait.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// ignoreDone drops the error of a signal to a process that has ended.
func ignoreDone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
