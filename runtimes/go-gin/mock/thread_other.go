//go:build !linux

package mock

import "time"

var began = time.Now()

// threadTime is the time that has gone by, where a thread's own cannot be read.
func threadTime() time.Duration { return time.Since(began) }
