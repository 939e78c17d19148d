package loadgen

import (
	"context"
	"time"
)

// coarse is how long before its due time a timer is set, because the runtime's
// timers are late by a millisecond or more. The function sleep waits for the rest,
// which blocks a thread but uses no processor time.
const coarse = 1500 * time.Microsecond

// waitUntil returns true at the given time, to within a fraction of a millisecond,
// and false when ctx has ended or, before the last coarse, wake was closed. The
// capacity of sleepers bounds how many goroutines sleep exactly at once, so that a
// thousand users with one beat do not need a thousand threads.
func waitUntil(ctx context.Context, at time.Time, wake <-chan struct{}, sleepers chan struct{}) bool {
	if left := time.Until(at) - coarse; left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-wake:
			return false
		case <-ctx.Done():
			return false
		}
	}
	for {
		left := time.Until(at)
		if left <= 0 {
			return ctx.Err() == nil
		}
		select {
		case sleepers <- struct{}{}:
			sleep(left)
			<-sleepers
		default:
			time.Sleep(left)
		}
	}
}

// pause waits less exactly. It returns false if ctx or wake ended the wait early.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
	case <-ctx.Done():
	}
	return false
}
