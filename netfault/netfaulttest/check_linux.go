package netfaulttest

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// all asks one check after the other.
func all(checks ...func(Measured) error) func(Measured) error {
	return func(m Measured) error {
		for _, check := range checks {
			if err := check(m); err != nil {
				return err
			}
		}
		return nil
	}
}

func between[T cmp.Ordered](what string, got, low, high T) error {
	if got < low || got > high {
		return fmt.Errorf("%s %v, want %v to %v", what, got, low, high)
	}
	return nil
}

// binomial checks that n of count is what a probability p gives, within four
// standard deviations: one honest run in 16 000 fails.
func binomial(what string, n, count int, p float64) error {
	mean, deviation := p*float64(count), math.Sqrt(p*(1-p)*float64(count))
	return between(what+" of "+fmt.Sprint(count)+" packets:", float64(n), math.Floor(mean-4*deviation), math.Ceil(mean+4*deviation))
}

func lost(p float64) func(Measured) error {
	return func(m Measured) error { return binomial("lost", m.Lost(), m.Sent, p) }
}

// lostWithin is for losses that depend on each other, which vary more.
func lostWithin(p, tolerance float64) func(Measured) error {
	return func(m Measured) error {
		return between("the share lost was", float64(m.Lost())/float64(m.Sent), p-tolerance, p+tolerance)
	}
}

func noLoss(m Measured) error {
	if m.Lost() != 0 {
		return fmt.Errorf("%d of %d packets were lost, want none", m.Lost(), m.Sent)
	}
	return nil
}

// delayed checks that no packet came early and that many came in time; a busy
// machine is late with the others.
func delayed(d time.Duration) func(Measured) error {
	return func(m Measured) error {
		if err := between("the fastest packet took", m.Quantile(0), d-100*time.Microsecond, d+slack); err != nil {
			return err
		}
		return between("a quarter of the packets took at most", m.Quantile(.25), d-100*time.Microsecond, d+slack)
	}
}

// untouched checks that a fault for others left the flow alone; the table's
// faults would delay it by 50 ms or lose it.
func untouched(m Measured) error {
	if err := noLoss(m); err != nil {
		return err
	}
	return between("a quarter of the packets took at most", m.Quantile(.25), 0, 25*ms)
}

// quantiles holds the shape of the delays against that of a distribution. A
// machine that stands still for a while is late with some, and never early.
func quantiles(d netfault.Distribution, delay, jitter time.Duration) func(Measured) error {
	return func(m Measured) error {
		for _, u := range []float64{.1, .25, .5, .75} {
			want := delay + time.Duration(float64(jitter)*d.Quantile(u))
			if err := between(fmt.Sprintf("quantile %v of the delay was", u), m.Quantile(u), want-3*ms/2, want+slack); err != nil {
				return err
			}
		}
		return nil
	}
}

// speed checks the rate to 5 %.
func speed(bytesPerSecond float64) func(Measured) error {
	return func(m Measured) error {
		return between("the rate in bytes/s was", m.Rate(), bytesPerSecond*.95, bytesPerSecond*1.05)
	}
}

// bunches checks that packets arrive together, a pause apart.
func bunches(pause time.Duration) func(Measured) error {
	return func(m Measured) error {
		pauses := 0
		for n := 1; n < len(m.Arrivals); n++ {
			if m.Arrivals[n].At-m.Arrivals[n-1].At > pause/2 {
				pauses++
			}
		}
		span := m.Arrivals[len(m.Arrivals)-1].At - m.Arrivals[0].At
		want := float64(span) / float64(pause)
		return between("the pauses were", float64(pauses), want*.75, want*1.25)
	}
}
