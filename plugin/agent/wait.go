package agent

import (
	"context"
	"time"
)

// lookEvery is the pause between two checks whether faults still act.
const lookEvery = time.Second

// waitFor waits until the deadline, if there is one, until ctx ends, or until lost,
// which it calls every second, returns an error. It returns which of them came.
func waitFor(ctx context.Context, deadline time.Time, lost func() error) string {
	var due <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		due = timer.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-due:
			return "deadline"
		case <-ctx.Done():
			return "signal"
		case <-look.C:
			if lost() != nil {
				return "lost"
			}
		}
	}
}
