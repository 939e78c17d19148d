package supervise

import (
	"errors"
	"os"
	"syscall"
)

var errNoPause = errors.New("processes cannot be paused on Windows; use kill or hang")

// CanPause tells why a process cannot be paused here; nil means it can.
func CanPause() error { return errNoPause }

func pauseProcess(*os.Process) error { return errNoPause }

// resumeProcess has nothing to do where nothing can be paused.
func resumeProcess(*os.Process) error { return nil }

// terminateProcess does nothing: a process is told by the end of its standard
// input.
func terminateProcess(*os.Process) error { return nil }

// ignoreDone takes the error of ending a process that has ended for none.
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
	// A process group of its own, so that Ctrl-C reaches only this program,
	// which then ends the others in order.
	a.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
	return a
}
