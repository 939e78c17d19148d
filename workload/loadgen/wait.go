package loadgen

import (
	"context"
	"time"
)

// coarse is how much earlier than due a timer is set: the runtime's timers are late
// by up to a millisecond and more. The function sleep waits for the rest, which
// blocks a thread but uses no processor time.
const coarse = 1500 * time.Microsecond

// waitUntil returns true at the given time, to within a fraction of a
// millisecond, and false when ctx has ended or, before the last coarse, wake was
// closed. As many goroutines as sleepers has room for sleep exactly at a time,
// so that a thousand users with one beat do not take a thousand threads.
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

// pause waits less exactly, and returns false when it was cut short.
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
