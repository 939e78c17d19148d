package supervise

import "time"

// A backoff decides how long to wait before a replica is started again. The wait
// doubles with each failure in a row, and is short again after a healthy run.
type backoff struct {
	first, longest time.Duration
	// healthy is how long a run must last to reset the failures in a row.
	healthy time.Duration
	failed  int
}

func newBackoff() backoff {
	return backoff{first: 100 * time.Millisecond, longest: 10 * time.Second, healthy: 10 * time.Second}
}

// next returns the wait after a run that was ready for a time; 0 means that it was
// never ready.
func (b *backoff) next(ready time.Duration) time.Duration {
	if ready >= b.healthy {
		b.failed = 0
	}
	wait := b.longest
	// Past 30 doublings the wait is far beyond any longest.
	if b.failed < 30 {
		wait = min(b.first<<b.failed, b.longest)
	}
	b.failed++
	return wait
}
