package runner

import (
	"context"
	"time"
)

// A Clock tells a run the time and wakes it. Bounds on what is asked of a target
// are not business of it: they are deadlines of contexts, in real time.
type Clock interface {
	Now() time.Time
	// WaitUntil returns true at a moment, at once if it is over, or false at the
	// end of ctx if that comes first.
	WaitUntil(ctx context.Context, at time.Time) bool
}

// realClock is that of the machine.
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

// every calls do at a regular pace until ctx ends. Turns that come while do still
// runs are left out.
func every(ctx context.Context, clock Clock, pace time.Duration, do func()) {
	next := clock.Now().Add(pace)
	for clock.WaitUntil(ctx, next) {
		do()
		late := clock.Now().Sub(next)
		next = next.Add(pace + max(0, late).Truncate(pace))
	}
}
