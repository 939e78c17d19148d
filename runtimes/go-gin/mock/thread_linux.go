package mock

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time that this thread has spent.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return time.Since(began)
	}
	return time.Duration(t.Nano())
}

var began = time.Now()
