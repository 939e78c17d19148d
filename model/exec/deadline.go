package exec

import "time"

// MaxLeft bounds the time that a caller can say is left for a request. A longer
// time is ignored, as if the caller had said nothing.
const MaxLeft = 24 * time.Hour

// Deadline returns when a request that came at start must be answered. left is the
// time that its caller says is left, or Never; timeout is the endpoint's own, or 0
// for none. The shorter counts.
func Deadline(start, left, timeout time.Duration) time.Duration {
	if left >= MaxLeft {
		left = Never
	}
	if timeout > 0 {
		left = min(left, timeout)
	}
	if left == Never {
		return Never
	}
	return start + left
}

// MillisLeft returns the time until a deadline as a callee is told it: in whole
// milliseconds, rounded up, and at least 0.
func MillisLeft(left time.Duration) int64 {
	return max(int64((left+time.Millisecond-1)/time.Millisecond), 0)
}
