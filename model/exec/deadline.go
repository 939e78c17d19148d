package exec

import "time"

// MaxLeft bounds the time that a caller can say is left for a request. Whatever
// says more says nothing.
const MaxLeft = 24 * time.Hour

// Deadline is when a request must be answered that came at start: left is the
// time that its caller says is left, or Never; timeout the endpoint's own, or 0
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

// MillisLeft is what a callee is told of the time until a deadline: whole
// milliseconds, rounded up, and never less than 0.
func MillisLeft(left time.Duration) int64 {
	return max(int64((left+time.Millisecond-1)/time.Millisecond), 0)
}
