package registry

import (
	"errors"
	"fmt"
	"os"
)

// A Process names a process of this machine for good: its number alone is
// given to another process sooner or later, together with its start time it is
// not.
type Process struct {
	PID int `json:"pid"`
	// Start is when the process began, in the words of the operating system. It
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

// Alive reports whether the very same process still runs. One that has ended
// and waits for its parent to notice does not.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// Kill ends the process at once. It returns nil if the process has already
// ended, and a process that got its number in the meantime is left alone.
func (p Process) Kill() error {
	if p.PID <= 0 {
		return nil
	}
	// The handle is taken before the comparison, so that where the system has
	// handles, the process compared is the process killed.
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
