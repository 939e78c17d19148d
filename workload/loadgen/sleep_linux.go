package loadgen

import (
	"syscall"
	"time"
)

// sleep sleeps in the kernel, whose timers are exact to some 60 µs where the
// runtime's are to a millisecond. It may return early.
func sleep(d time.Duration) {
	spec := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&spec, nil) // interrupted: the caller looks at the clock
}
