package loadgen

import (
	"syscall"
	"time"
)

// sleep sleeps in the kernel, whose timers are exact to about 60 µs, while the
// runtime's are exact to a millisecond. It may return early.
func sleep(d time.Duration) {
	spec := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&spec, nil) // interrupted: the caller looks at the clock
}
