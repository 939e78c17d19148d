package stress

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processTime is how long this process has been on processors.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}
