package calibrate

import (
	"fmt"
	"syscall"
	"time"
)

// cpuTime is the processor time that this process has had.
func cpuTime() (time.Duration, error) {
	process, err := syscall.GetCurrentProcess()
	var created, exited, kernel, user syscall.Filetime
	if err == nil {
		err = syscall.GetProcessTimes(process, &created, &exited, &kernel, &user)
	}
	if err != nil {
		return 0, fmt.Errorf("asking for the processor time of this process: %w", err)
	}
	spent := func(f syscall.Filetime) time.Duration {
		return time.Duration(int64(f.HighDateTime)<<32|int64(f.LowDateTime)) * 100 // they count 100 ns
	}
	return spent(kernel) + spent(user), nil
}
