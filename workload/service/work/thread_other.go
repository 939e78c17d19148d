//go:build !linux

package work

import "time"

// threadTime is the time on the clock: the system does not tell the thread's.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
