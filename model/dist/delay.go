// Package dist has the distributions of durations that files describe, and the
// keys by which every random decision is made.
package dist

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exact"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Delay is a distribution of durations. At most one field is set; the zero
// value is the fixed duration 0. Its text form is a duration ("5ms"), its JSON
// form that text or an object with the one field.
//
// Every distribution is drawn by its quantile function, so one decision takes
// one random number. Results are never negative and never above Max.
type Delay struct {
	Fixed       unit.Duration   `json:"fixed,omitzero"`
	Uniform     *Uniform        `json:"uniform,omitempty"`
	Normal      *Normal         `json:"normal,omitempty"`
	LogNormal   *LogNormal      `json:"lognormal,omitempty"`
	Exponential *Exponential    `json:"exponential,omitempty"`
	Pareto      *Pareto         `json:"pareto,omitempty"`
	Empirical   []unit.Duration `json:"empirical,omitempty"`
}

// Max is the longest delay that can be asked for or drawn.
const Max = 24 * time.Hour

// Uniform draws from Min to Max, each duration being equally likely.
type Uniform struct {
	Min unit.Duration `json:"min"`
	Max unit.Duration `json:"max"`
}

// Normal is the Gaussian distribution, cut off at 0.
type Normal struct {
	Mean   unit.Duration `json:"mean"`
	StdDev unit.Duration `json:"stddev"`
}

// LogNormal is given by its median and its 99th percentile, as latencies are
// usually known.
type LogNormal struct {
	P50 unit.Duration `json:"p50"`
	P99 unit.Duration `json:"p99"`
}

// Exponential has the mean Mean and no memory.
type Exponential struct {
	Mean unit.Duration `json:"mean"`
}

// Pareto has the least value Min and a tail that falls with the power Alpha; its
// mean is finite only if Alpha is over 1.
type Pareto struct {
	Min   unit.Duration `json:"min"`
	Alpha float64       `json:"alpha"`
}

// Fixed returns the delay that is always d.
func Fixed(d time.Duration) Delay { return Delay{Fixed: unit.Duration(d)} }

// Jittered returns a delay uniform in [d-jitter, d+jitter], or exactly d if jitter
// is 0. Durations below 0 count as 0.
func Jittered(d, jitter time.Duration) Delay {
	if jitter == 0 {
		return Fixed(d)
	}
	return Delay{Uniform: &Uniform{Min: unit.Duration(d - jitter), Max: unit.Duration(d + jitter)}}
}

// IsZero reports whether the delay is always 0.
func (d Delay) IsZero() bool {
	return d.Fixed == 0 && d.Uniform == nil && d.Normal == nil && d.LogNormal == nil &&
		d.Exponential == nil && d.Pareto == nil && d.Empirical == nil
}

// Draw returns the duration that the key decides.
func (d Delay) Draw(k Key) time.Duration {
	if d.Fixed != 0 || d.IsZero() {
		return min(d.Fixed.Std(), Max)
	}
	return d.Quantile(k.Float64())
}

// Quantile returns the duration below which a share p, in [0, 1), of draws lies.
func (d Delay) Quantile(p float64) time.Duration {
	var ns float64
	switch {
	case d.Uniform != nil:
		lo, hi := float64(d.Uniform.Min), float64(d.Uniform.Max)
		ns = exact.MulAdd(p, hi-lo, lo)
	case d.Normal != nil:
		ns = exact.MulAdd(float64(d.Normal.StdDev), exact.NormalQuantile(p), float64(d.Normal.Mean))
	case d.LogNormal != nil:
		mu, sigma := d.LogNormal.parameters()
		ns = exact.Exp(exact.MulAdd(sigma, exact.NormalQuantile(p), mu))
	case d.Exponential != nil:
		ns = -float64(d.Exponential.Mean) * exact.Log1p(-p)
	case d.Pareto != nil:
		// The quantile is min * (1-p)^(-1/alpha).
		ns = float64(d.Pareto.Min) * exact.Exp(-exact.Log1p(-p)/d.Pareto.Alpha)
	case len(d.Empirical) > 0:
		ns = float64(d.Empirical[min(int(p*float64(len(d.Empirical))), len(d.Empirical)-1)])
	default:
		ns = float64(d.Fixed)
	}
	return time.Duration(min(max(ns, 0), float64(Max)))
}

// Mean returns the expected duration before the cuts at 0 and Max, or Max if it is
// infinite.
func (d Delay) Mean() time.Duration {
	var ns float64
	switch {
	case d.Uniform != nil:
		ns = (float64(d.Uniform.Min) + float64(d.Uniform.Max)) / 2
	case d.Normal != nil:
		ns = float64(d.Normal.Mean)
	case d.LogNormal != nil:
		mu, sigma := d.LogNormal.parameters()
		ns = exact.Exp(exact.MulAdd(sigma, sigma/2, mu))
	case d.Exponential != nil:
		ns = float64(d.Exponential.Mean)
	case d.Pareto != nil:
		ns = math.Inf(1)
		if a := d.Pareto.Alpha; a > 1 {
			ns = float64(d.Pareto.Min) * a / (a - 1)
		}
	case len(d.Empirical) > 0:
		for _, v := range d.Empirical {
			ns += float64(v) / float64(len(d.Empirical))
		}
	default:
		ns = float64(d.Fixed)
	}
	return time.Duration(min(ns, float64(Max)))
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// parameters returns mean and standard deviation of the logarithm.
func (l LogNormal) parameters() (mu, sigma float64) {
	mu = exact.Log(float64(l.P50))
	return mu, (exact.Log(float64(l.P99)) - mu) / z99
}

// Validate returns the mistakes in the distribution's parameters.
func (d Delay) Validate() (problems problem.List) {
	set := 0
	bounded := func(path string, v unit.Duration) {
		if v < 0 {
			problems.AddHint(path, "write a duration from 0 up", "duration %q is negative", v)
		} else if v.Std() > Max {
			problems.AddHint(path, "the longest is "+unit.Duration(Max).String(), "duration %q is too long", v)
		}
	}
	bounded("", d.Fixed)
	if d.Fixed != 0 {
		set++
	}
	if u := d.Uniform; u != nil {
		set++
		// Min may lie below 0: a jitter larger than its delay is cut at 0.
		bounded("uniform.max", u.Max)
		if u.Max < u.Min {
			problems.Add("uniform", "max %q is below min %q", u.Max, u.Min)
		}
	}
	if n := d.Normal; n != nil {
		set++
		bounded("normal.mean", n.Mean)
		bounded("normal.stddev", n.StdDev)
	}
	if l := d.LogNormal; l != nil {
		set++
		bounded("lognormal.p99", l.P99)
		if l.P50 <= 0 || l.P99 < l.P50 {
			problems.AddHint("lognormal", "give p50 over 0 and p99 at least as long", "p50 %q and p99 %q make no distribution", l.P50, l.P99)
		}
	}
	if e := d.Exponential; e != nil {
		set++
		bounded("exponential.mean", e.Mean)
	}
	if p := d.Pareto; p != nil {
		set++
		bounded("pareto.min", p.Min)
		if !(p.Alpha > 0) || math.IsInf(p.Alpha, 0) {
			problems.AddHint("pareto.alpha", "write a number over 0, such as 2", "invalid tail exponent alpha %v", p.Alpha)
		}
	}
	if d.Empirical != nil {
		set++
		for i, v := range d.Empirical {
			bounded(problem.Index("empirical", i), v)
		}
		if !slices.IsSorted(d.Empirical) {
			problems.Add("empirical", "durations are not in ascending order")
		}
		if len(d.Empirical) == 0 {
			problems.Add("empirical", "no durations are given")
		}
	}
	if set > 1 {
		problems.AddHint("", "keep one of them", "expected one distribution, got %d", set)
	}
	return problems
}

// String prints the distribution for people: "5ms", "lognormal(p50 5ms, p99 40ms)".
func (d Delay) String() string {
	switch {
	case d.Uniform != nil:
		return fmt.Sprintf("uniform(%v..%v)", d.Uniform.Min, d.Uniform.Max)
	case d.Normal != nil:
		return fmt.Sprintf("normal(mean %v, stddev %v)", d.Normal.Mean, d.Normal.StdDev)
	case d.LogNormal != nil:
		return fmt.Sprintf("lognormal(p50 %v, p99 %v)", d.LogNormal.P50, d.LogNormal.P99)
	case d.Exponential != nil:
		return fmt.Sprintf("exponential(mean %v)", d.Exponential.Mean)
	case d.Pareto != nil:
		return fmt.Sprintf("pareto(min %v, alpha %v)", d.Pareto.Min, d.Pareto.Alpha)
	case d.Empirical != nil:
		return fmt.Sprintf("empirical(%d values)", len(d.Empirical))
	}
	return d.Fixed.String()
}

// MarshalJSON writes a fixed delay as text and any other as an object.
func (d Delay) MarshalJSON() ([]byte, error) {
	if d.Fixed != 0 || d.IsZero() {
		return json.Marshal(d.Fixed)
	}
	type plain Delay
	return json.Marshal(plain(d))
}

// UnmarshalJSON reads what MarshalJSON writes. Unknown fields are errors.
func (d *Delay) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*d = Delay{}
		return json.Unmarshal(data, &d.Fixed)
	}
	type plain Delay
	var p plain
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return fmt.Errorf("reading a distribution of durations: %w", err)
	}
	*d = Delay(p)
	return nil
}
