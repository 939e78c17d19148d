package agent

import (
	"context"
	"time"
)

// waitFor waits for the deadline, if there is one, or the end of the context,
// and says which came.
func waitFor(ctx context.Context, deadline time.Time) string {
	if deadline.IsZero() {
		<-ctx.Done()
		return "signal"
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-timer.C:
		return "deadline"
	case <-ctx.Done():
		return "signal"
	}
}
