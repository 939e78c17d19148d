package measure

import "time"

// An Amount is a sum that not every target can tell of a service: of several
// services in one process nobody knows which took the processor's time.
type Amount struct {
	Value float64
	Known bool
}

// Add adds to the sum, which is known from then on.
func (a *Amount) Add(v float64) { a.Value, a.Known = a.Value+v, true }

// Merge adds another amount, if that is known.
func (a *Amount) Merge(b Amount) {
	if b.Known {
		a.Add(b.Value)
	}
}

// over is the amount per second of so many; nil if it is not known.
func (a Amount) over(seconds float64) *float64 {
	if !a.Known {
		return nil
	}
	v := a.Value / seconds
	return &v
}

// PerSecond is the amount over a time, and whether it is known.
func (a Amount) PerSecond(interval time.Duration) (float64, bool) {
	return a.Value / interval.Seconds(), a.Known && interval > 0
}

// count is the amount as a number of things; nil if it is not known.
func (a Amount) count() *int64 {
	if !a.Known {
		return nil
	}
	n := int64(a.Value)
	return &n
}
