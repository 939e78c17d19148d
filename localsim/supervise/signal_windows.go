package supervise

import (
	"errors"
	"os"
	"syscall"
)

var errNoPause = errors.New("processes cannot be paused on Windows; use kill or hang")

// CanPause says why a process cannot be paused here.
func CanPause() error { return errNoPause }

func pauseProcess(*os.Process) error { return errNoPause }

// resumeProcess does nothing, because processes cannot be paused here.
func resumeProcess(*os.Process) error { return nil }

// terminateProcess does nothing: a process ends when its standard input is
// closed.
func terminateProcess(*os.Process) error { return nil }

// ignoreDone drops the error of ending a process that has ended.
func ignoreDone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func childAttributes(a *syscall.SysProcAttr) *syscall.SysProcAttr {
	if a == nil {
		a = &syscall.SysProcAttr{}
	}
	// A process group of its own, so that Ctrl-C reaches only this program, which
	// then ends the others cleanly.
	a.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
	return a
}

// killGroup does nothing: there are no groups.
func killGroup(int) {}
