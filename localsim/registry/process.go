package registry

import (
	"errors"
	"fmt"
	"os"
)

// A Process identifies a process of this machine permanently. The system gives its
// number to another process sooner or later, but not together with the same start
// time.
type Process struct {
	PID int `json:"pid"`
	// Start is the start time of the process, as a text of the operating system. It
	// is only compared.
	Start string `json:"start"`
}

// errGone says that no process has the number.
var errGone = errors.New("no such process")

// Identify returns the process that has the number now.
func Identify(pid int) (Process, error) {
	start, err := startTime(pid)
	if err != nil {
		return Process{}, fmt.Errorf("asking for the start time of process %d: %w", pid, err)
	}
	return Process{PID: pid, Start: start}, nil
}

// Self returns the process that runs this program.
func Self() (Process, error) { return Identify(os.Getpid()) }

// Alive reports whether the same process still runs. It returns false for a zombie,
// which has ended but which its parent has not waited for.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// Kill ends the process at once. It returns nil if the process has already ended,
// and does not touch another process that has got its number.
func (p Process) Kill() error {
	if p.PID <= 0 {
		return nil
	}
	// Take the handle before the comparison, so that, on systems with handles, the
	// killed process is the one that was compared.
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return nil
	}
	defer func() { _ = handle.Release() }()
	if !p.Alive() {
		return nil
	}
	if err := handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", p.PID, err)
	}
	return nil
}
