package load

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exact"
)

// A Pacer yields the arrivals of an open loop in ascending order. It knows no
// clock: the caller, which sends the requests, waits in real or in virtual
// time.
//
// With L(t) the number of arrivals due by t, which is the integral of the rate,
// constant arrivals come where L is 0, 1, 2 ..., and Poisson arrivals where L
// is the sum of as many exponential gaps of mean 1 (time rescaling; Lewis and
// Shedler, Simulation of Nonhomogeneous Poisson Processes, 1979).
type Pacer struct {
	curve curve
	phase *Phase
	key   dist.Key

	next int     // number of the next arrival
	due  float64 // what the arrival before it needed L to be, unscaled

	// From time base on, L grows scale times as fast as the curve.
	scale        float64
	base, atBase float64 // the curve's value, and L, at the last change of scale
	last         time.Duration
}

// Pacer returns the arrivals of an open loop. The key decides the gaps of
// Poisson arrivals; see PhaseKey.
func (p *Phase) Pacer(key dist.Key) *Pacer {
	return &Pacer{curve: newCurve(p), phase: p, key: key.With("gap"), scale: 1}
}

// Next returns when the next arrival is due, counted from the start of the phase,
// and false if there are no more arrivals.
func (p *Pacer) Next() (at time.Duration, ok bool) {
	if p.phase.Count > 0 && p.next >= p.phase.Count {
		return 0, false
	}
	if p.scale == 0 {
		return 0, false
	}
	due := p.due + p.gap(p.next)
	at = p.at(due)
	if p.phase.Duration > 0 && at >= p.phase.Duration.Std() || at < 0 {
		return 0, false
	}
	at = max(at, p.last)
	p.next, p.due, p.last = p.next+1, due, at
	return at, true
}

// Rescale multiplies the phase's rate by a factor from now on. Arrivals that Next
// has returned, but that are later than now, are withdrawn; Next returns them
// again, at their new times. With the factor 0, Next returns false until the next
// Rescale.
func (p *Pacer) Rescale(now time.Duration, factor float64) {
	for p.next > 0 && p.last > now {
		p.next--
		p.due -= p.gap(p.next)
		p.last = p.at(p.due)
	}
	value := p.curve.integral(now)
	p.atBase = exact.MulAdd(value-p.base, p.scale, p.atBase)
	p.base, p.scale = value, max(factor, 0)
	// An arrival that rounding moved into the past comes at once.
	p.last = now
}

// at returns when L reaches a value after the last change of scale.
func (p *Pacer) at(due float64) time.Duration {
	return p.curve.inverse(p.base + (due-p.atBase)/p.scale)
}

// Index returns the number of the arrival that Next will return.
func (p *Pacer) Index() int { return p.next }

// gap returns the growth of L from the previous arrival to number i.
func (p *Pacer) gap(i int) float64 {
	switch {
	case p.phase.Arrivals == Poisson:
		return -exact.Log1p(-p.key.WithInt(i).Float64())
	case i == 0:
		return 0
	}
	return 1
}

// A curve is the rate of a phase over time: a line plus a sine. Its times are in
// seconds.
type curve struct {
	rate, slope       float64
	amplitude, period float64
	end               float64 // 0 if there is none
}

func newCurve(p *Phase) curve {
	c := curve{rate: p.Rate, end: p.Duration.Seconds()}
	if p.RateTo != nil && c.end > 0 {
		c.slope = (*p.RateTo - p.Rate) / c.end
	}
	if s := p.Sine; s != nil && s.Amplitude > 0 {
		c.amplitude, c.period = s.Amplitude, s.Period.Seconds()
	}
	return c
}

// integral returns the number of arrivals due by a time.
func (c curve) integral(at time.Duration) float64 { return c.integralSeconds(at.Seconds()) }

func (c curve) integralSeconds(t float64) float64 {
	sum := float64(t * (c.rate + float64(float64(c.slope*t)/2)))
	if c.amplitude > 0 {
		sum = exact.MulAdd(c.amplitude*c.period/(2*math.Pi), 1-exact.CosTurns(t/c.period), sum)
	}
	return sum
}

// inverse returns when the integral reaches x, rounded to a nanosecond; a
// negative duration stands for never.
func (c curve) inverse(x float64) time.Duration {
	t := c.inverseLine(x)
	if c.amplitude > 0 {
		// The sine has added between 0 and amplitude*period/pi.
		low, high := c.inverseLine(x-float64(c.amplitude*c.period)/math.Pi), t
		if c.end > 0 {
			high = min(high, c.end)
		}
		for range 100 {
			t = (low + high) / 2
			if t <= low || t >= high {
				break
			}
			if c.integralSeconds(t) < x {
				low = t
			} else {
				high = t
			}
		}
		t = high
	}
	if ns := math.Round(t * 1e9); ns < math.MaxInt64/2 {
		return time.Duration(ns)
	}
	return -1
}

// inverseLine solves rate*t + slope*t*t/2 = x in the form that loses no digits
// where the slope is small.
func (c curve) inverseLine(x float64) float64 {
	if x <= 0 {
		return 0
	}
	root := math.Sqrt(max(exact.MulAdd(c.rate, c.rate, float64(2*c.slope*x)), 0))
	return 2 * x / (c.rate + root)
}
