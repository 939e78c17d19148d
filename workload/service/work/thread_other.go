//go:build !linux

package work

import "time"

// threadTime returns the time on the clock, because the system does not report the
// thread's.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
