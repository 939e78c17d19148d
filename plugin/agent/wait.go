package agent

import (
	"context"
	"time"
)

// lookEvery is how often a process looks whether its faults still act.
const lookEvery = time.Second

// waitFor waits for the deadline, if there is one, for the end of the context, or
// until lost returns an error; it calls lost every second. It says which came.
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
