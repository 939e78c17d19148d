package runner

import (
	"context"
	"time"
)

// A Clock tells a run the time and wakes it. It does not bound requests to a
// target: their bounds are deadlines of contexts, in real time.
type Clock interface {
	Now() time.Time
	// WaitUntil waits until a moment and returns true, at once if the moment is
	// past. It returns false if ctx ends first.
	WaitUntil(ctx context.Context, at time.Time) bool
}

// realClock is the machine's clock.
type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) WaitUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// every calls do at a regular pace until ctx ends. It leaves out the turns that
// come while do still runs.
func every(ctx context.Context, clock Clock, pace time.Duration, do func()) {
	next := clock.Now().Add(pace)
	for clock.WaitUntil(ctx, next) {
		do()
		late := clock.Now().Sub(next)
		next = next.Add(pace + max(0, late).Truncate(pace))
	}
}
