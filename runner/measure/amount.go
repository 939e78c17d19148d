package measure

import "time"

// An Amount is a sum that not every target knows. If several services share a
// process, for example, nothing tells which of them used the processor.
type Amount struct {
	Value float64
	Known bool
}

// Add adds to the sum, and marks it as known.
func (a *Amount) Add(v float64) { a.Value, a.Known = a.Value+v, true }

// Merge adds another amount if that one is known.
func (a *Amount) Merge(b Amount) {
	if b.Known {
		a.Add(b.Value)
	}
}

// over returns the amount per second over a number of seconds, or nil if it is not
// known.
func (a Amount) over(seconds float64) *float64 {
	if !a.Known {
		return nil
	}
	v := a.Value / seconds
	return &v
}

// PerSecond returns the amount per second over an interval, and whether it is
// known.
func (a Amount) PerSecond(interval time.Duration) (float64, bool) {
	return a.Value / interval.Seconds(), a.Known && interval > 0
}

// count returns the amount as a whole number, or nil if it is not known.
func (a Amount) count() *int64 {
	if !a.Known {
		return nil
	}
	n := int64(a.Value)
	return &n
}
